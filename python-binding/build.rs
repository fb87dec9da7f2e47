//! Links `libcoromega_ws.so.0` by its SONAME, found at run time beside the module, and offers it
//! to the wheel.

use std::{env, fs, os::unix::fs::symlink, path::PathBuf};

fn main() -> std::io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    // cargo builds the library before this crate is linked, in the folder of dependencies.
    if let Some(profile) = out.ancestors().nth(3) {
        let library = profile.join("deps").join("libcoromega_ws.so");
        for name in ["libcoromega_ws.so.0", "libcoromega_ws.so"] {
            let link = out.join(name);
            let _ = fs::remove_file(&link);
            symlink(&library, link)?;
        }
    }
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:rustc-link-lib=dylib=coromega_ws");
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN");
    println!("cargo:rustc-link-arg=-Wl,-z,nodelete");
    Ok(())
}
