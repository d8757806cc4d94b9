//! Any text as an nginx configuration that includes itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use why502::engine::nginx_conf::{Included, NginxConf};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut left = 20;
    let conf = NginxConf::read("fuzz", text, &mut |pattern| {
        if left == 0 {
            return Err("enough".to_owned());
        }
        left -= 1;
        Ok(vec![Included { path: pattern.to_owned(), text: text.to_owned() }])
    });
    let _ = conf.addresses();
    for log in &conf.access_logs {
        let _ = conf.format_of(&log.path);
    }
});
