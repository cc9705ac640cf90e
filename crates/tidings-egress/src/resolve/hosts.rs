//! The hosts file: `address name alias...` per line, `#` begins a comment (hosts(5)).
//!
//! Lines that cannot be read are skipped, as every resolver does. Names are compared without case
//! and without the root's dot.

use std::{collections::HashMap, fs, net::IpAddr};

/// Longest hosts file that is read; block lists with a million lines are no business of ours.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Hosts {
    names: HashMap<String, Vec<IpAddr>>,
}

impl Hosts {
    pub(super) fn read_system() -> Self {
        let path = if cfg!(windows) {
            r"C:\Windows\System32\drivers\etc\hosts"
        } else {
            "/etc/hosts"
        };
        match fs::metadata(path) {
            Ok(file) if file.len() > FILE_BYTES_MAX => {
                tracing::warn!(
                    path,
                    bytes = file.len(),
                    "the hosts file is too large, ignored"
                );
                Self::default()
            }
            _ => Self::parse(&String::from_utf8_lossy(
                &fs::read(path).unwrap_or_default(),
            )),
        }
    }

    pub(super) fn parse(text: &str) -> Self {
        let mut hosts = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or(line);
            let mut words = line.split_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else {
                continue;
            };
            for name in words {
                let known = hosts.names.entry(normal(name)).or_default();
                if !known.contains(&address) {
                    known.push(address);
                }
            }
        }
        hosts
    }

    pub(super) fn get(&self, name: &str) -> Option<&[IpAddr]> {
        self.names.get(&normal(name)).map(Vec::as_slice)
    }
}

fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_aliases() {
        let hosts = Hosts::parse(
            "127.0.0.1 localhost\n\
             # 10.0.0.9 commented.example\n\
             10.0.0.1\tDSP.example dsp # the partner\n\
             fd00::1 dsp.example\n\
             10.0.0.1 dsp.example\n\
             fe80::1%eth0 zone.example\n\
             nonsense dsp.example\n",
        );
        let show = |name: &str| hosts.get(name).map(|ips| format!("{ips:?}"));
        assert_eq!(show("dsp.example.").as_deref(), Some("[10.0.0.1, fd00::1]"));
        assert_eq!(show("DSP").as_deref(), Some("[10.0.0.1]"));
        for name in ["commented.example", "zone.example", "the", "nonsense", ""] {
            assert_eq!(show(name), None, "{name}");
        }
    }
}
