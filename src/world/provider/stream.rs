//! Server-sent events: bytes in, the data of each event out. <https://html.spec.whatwg.org/multipage/server-sent-events.html>

/// Takes a stream apart, whatever pieces it comes in.
#[derive(Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: String,
}

impl Events {
    /// The data of the events that end in these bytes.
    ///
    /// # Errors
    /// When it is no text.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = String::from_utf8(std::mem::take(&mut self.line)).map_err(|_| "the answer is no text".to_string())?;
            let line = line.trim_end_matches('\r');
            if line.is_empty() && !self.data.is_empty() {
                found.push(std::mem::take(&mut self.data));
            } else if let Some(data) = line.strip_prefix("data:") {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_in_whatever_pieces_they_come() {
        let stream = b": hello\nevent: x\ndata: {\"a\":\ndata: 1}\n\r\ndata:[DONE]\r\n\r\nid: 7\n\n";
        for size in 1..=stream.len() {
            let mut events = Events::default();
            let found: Vec<String> = stream.chunks(size).flat_map(|piece| events.feed(piece).expect("text")).collect();
            assert_eq!(found, ["{\"a\":\n1}", "[DONE]"], "in pieces of {size}");
        }
        assert!(Events::default().feed(b"data: \xff\n").is_err());
    }
}
