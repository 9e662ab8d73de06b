#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| remnesia_fuzz::value(data));
