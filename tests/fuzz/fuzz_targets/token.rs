#![no_main]

use std::sync::LazyLock;

#[path = "../../it/inlets/checks/token.rs"]
mod checks;

static AUTH: LazyLock<checks::Auth> = LazyLock::new(checks::Auth::new);

libfuzzer_sys::fuzz_target!(|input: &[u8]| drop(AUTH.check(input)));
