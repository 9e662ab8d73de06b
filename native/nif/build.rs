//! How the library is linked, beyond what cargo does by itself.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        // The VM provides the enif_* functions when it loads the library.
        Ok("macos") => println!("cargo:rustc-link-arg-cdylib=-Wl,-undefined,dynamic_lookup"),
        // Threads of the library may outlive an unload of its module, so its code stays mapped until the VM ends.
        Ok("linux") => println!("cargo:rustc-link-arg-cdylib=-Wl,-z,nodelete"),
        _ => {}
    }
}
