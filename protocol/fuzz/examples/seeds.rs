//! Writes the golden vectors as the first corpus of each target: `cargo run --example seeds`.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, seeds) in targets::seeds::all() {
        let directory = corpus.join(target);
        std::fs::create_dir_all(&directory)?;
        for (index, seed) in seeds.iter().enumerate() {
            std::fs::write(directory.join(format!("golden-{index:02}")), seed)?;
        }
        println!("{}: {} seeds", directory.display(), seeds.len());
    }
    Ok(())
}
