#![no_main]

// What is set up once is no part of the time for the first input.
libfuzzer_sys::fuzz_target!(
    init: hookgate::fuzzing::config(&[]),
    |data: &[u8]| hookgate::fuzzing::config(data)
);
