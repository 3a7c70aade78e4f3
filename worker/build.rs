//! Takes the white space out of the documents that the Worker serves: a third of 80 KB.
#![allow(missing_docs)]

use std::error::Error;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let out = env::var("OUT_DIR")?;
    for name in ["openapi.json", "asyncapi.json"] {
        let source = Path::new("api").join(name);
        println!("cargo::rerun-if-changed={}", source.display());
        let text = fs::read_to_string(source)?;
        let document: serde_json::Value = serde_json::from_str(&text)?;
        fs::write(Path::new(&out).join(name), document.to_string())?;
    }
    Ok(())
}
