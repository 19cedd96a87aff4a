//! `twinwire_server::fuzzing::session` under libFuzzer.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| twinwire_server::fuzzing::session(data));
