//! `--nginx-conf`: reads the files of an nginx configuration.

use crate::read::nginx_conf::{Included, NginxConf};
use anyhow::Context;
use std::path::{Path, PathBuf};

/// Bytes of all files together; generated configurations with thousands of sites have some ten MiB.
const BYTES_MAX: u64 = 256 << 20;
/// Files that one pattern may name.
const FILES_MAX: usize = 20_000;

/// Reads a configuration with its includes, whose relative paths start at the directory of the main file, as nginx's do.
/// What nginx would refuse is in [`NginxConf::mistakes`].
///
/// # Errors
/// When the main file cannot be read.
pub fn load(path: &Path) -> anyhow::Result<NginxConf> {
    let text = read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let directory = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    let mut left = BYTES_MAX.saturating_sub(text.len() as u64);
    let mut include = |pattern: &str| {
        let full = directory.join(pattern);
        let full = full.to_string_lossy();
        let found = glob::glob(&full).map_err(|error| format!("not a pattern of file names: {error}"))?;
        let mut paths: Vec<PathBuf> = found.flatten().take(FILES_MAX).collect();
        paths.sort();
        if paths.is_empty() && !pattern.contains(['*', '?', '[']) {
            return Err(format!("{full} does not exist"));
        }
        let mut files = Vec::new();
        for path in paths {
            let text = read(&path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
            left = left
                .checked_sub(text.len() as u64)
                .ok_or_else(|| format!("the configuration is larger than {} MiB", BYTES_MAX >> 20))?;
            files.push(Included { path: path.to_string_lossy().into_owned(), text });
        }
        Ok(files)
    };
    Ok(NginxConf::read(&path.to_string_lossy(), &text, &mut include))
}

/// A file as text. Comments in old encodings are no reason to refuse it.
fn read(path: &Path) -> std::io::Result<String> {
    let length = std::fs::metadata(path)?.len();
    if length > BYTES_MAX {
        return Err(std::io::Error::other("too large for a configuration"));
    }
    Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_includes() {
        let directory = tempfile::tempdir().expect("a directory");
        let main = directory.path().join("nginx.conf");
        std::fs::write(&main, "error_log a;\ninclude sites/*.conf;\ninclude none.conf;\ninclude none/*;\n")
            .expect("a file");
        std::fs::create_dir(directory.path().join("sites")).expect("a directory");
        std::fs::write(directory.path().join("sites/1.conf"), "error_log b;").expect("a file");
        std::fs::write(directory.path().join("sites/2.conf"), b"# \xff\nerror_log c;").expect("a file");
        let conf = load(&main).expect("reads");
        assert_eq!(conf.error_logs, ["a", "b", "c"]);
        assert_eq!(conf.mistakes.len(), 1, "a pattern without files is none: {:?}", conf.mistakes);
        assert_eq!(conf.mistakes.first().map(|mistake| mistake.line), Some(3));
        assert!(load(&directory.path().join("other.conf")).is_err());
    }
}
