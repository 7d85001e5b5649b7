#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

#[path = "../../it/inlets/checks/config.rs"]
mod checks;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("nidbridge-fuzz-{}.toml", std::process::id()))
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::check(input, &FILE);
});
