//! `twinwire_server::fuzzing::websocket` under libFuzzer.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| twinwire_server::fuzzing::websocket(data));
