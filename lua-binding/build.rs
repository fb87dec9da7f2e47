//! Links `libcoromega_ws.so.0`, found at run time beside the place where Lua modules are installed.

use std::{env, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=COROMEGA_WS_LIB_DIR");
    // The library is built before the bindings: by default it lies in this build's own profile
    // directory, three above OUT_DIR.
    let directory = match env::var_os("COROMEGA_WS_LIB_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => {
            let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
            out.ancestors().nth(3).map(PathBuf::from).unwrap_or(out)
        }
    };
    println!("cargo:rustc-link-search=native={}", directory.display());
    println!("cargo:rustc-link-lib=dylib=coromega_ws");
    // From lib/lua/5.x/coromega_ws.so to lib/libcoromega_ws.so.0.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-rpath,$ORIGIN/../..");
    // A state that is closed must not unmap code that another state or a thread still uses.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
