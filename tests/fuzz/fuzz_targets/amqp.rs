#![no_main]

#[path = "../../it/inlets/checks/amqp.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::check(input);
});
