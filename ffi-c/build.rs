//! Names the shared library, keeps it loaded for good, and offers it to the bindings' builds.

use std::{env, fs, os::unix::fs::symlink, path::PathBuf};

fn main() -> std::io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    // Plain link arguments: those of the cdylib form leak into dependents.
    println!("cargo:rustc-link-arg=-Wl,-soname,libcoromega_ws.so.0");
    println!("cargo:rustc-link-arg=-Wl,-z,nodelete");
    // The library does not exist yet: a link under its SONAME, in OUT_DIR, to where it will be.
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    if let Some(profile) = out.ancestors().nth(3) {
        for name in ["libcoromega_ws.so.0", "libcoromega_ws.so"] {
            let link = out.join(name);
            let _ = fs::remove_file(&link);
            symlink(profile.join("libcoromega_ws.so"), link)?;
        }
    }
    Ok(())
}
