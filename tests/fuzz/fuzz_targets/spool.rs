#![no_main]

#[path = "../../it/inlets/checks/spool.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::check(input);
});
