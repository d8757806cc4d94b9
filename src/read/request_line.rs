//! The request line: what an error line and an access line of one request have in common, whatever their formats.

use super::evidence::{NginxAccess, NginxError};
use super::text::{hash64, rsplit_at, split_at};

/// Method and target of `GET /x HTTP/1.1`; HTTP/0.9 has no protocol.
pub fn split_request_line(line: &str) -> Option<(&str, &str)> {
    let (method, rest) = split_at(line, b' ')?;
    let target = match rsplit_at(rest, b' ') {
        Some((target, protocol)) if protocol.starts_with("HTTP/") => target,
        _ => rest,
    };
    Some((method, target))
}

/// `shop` of `/shop/cart?x=1`: by it locations lead to different applications.
pub fn first_part(target: &str) -> &str {
    let inside = target.strip_prefix('/').unwrap_or_default();
    inside.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Hash of a request line for [`super::Wanted`]: over method and target, so that it fits every format and protocol.
pub fn request_line_hash(method: &[u8], target: &[u8]) -> u64 {
    hash64(method) ^ hash64(target).rotate_left(1)
}

impl NginxError {
    /// Method and target of its request; `None` where it names none.
    pub fn method_and_target(&self) -> Option<(&str, &str)> {
        split_request_line(self.request.as_deref()?)
    }

    /// Hash of its request line.
    pub fn request_line_hash(&self) -> Option<u64> {
        let (method, target) = self.method_and_target()?;
        Some(request_line_hash(method.as_bytes(), target.as_bytes()))
    }
}

impl NginxAccess {
    /// Hash of its request line; `None` where the format has none.
    pub fn request_line_hash(&self) -> Option<u64> {
        (!self.target.is_empty()).then(|| request_line_hash(self.method.as_bytes(), self.target.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::first_part;

    #[test]
    fn the_first_part_of_a_target() {
        for (target, expected) in [
            ("/shop/cart?x=/1", "shop"),
            ("/shop?x=1", "shop"),
            ("/", ""),
            ("/?a", ""),
            ("*", ""),
            ("", ""),
            ("//x", ""),
        ] {
            assert_eq!(first_part(target), expected, "{target}");
        }
    }
}
