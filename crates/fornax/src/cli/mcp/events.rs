//! Messages out of a stream of server-sent events: the `data` lines of each event, joined.

/// Longest event that is taken.
const EVENT_BYTES_MAX: usize = 64 << 20;

/// Takes bytes as they come and gives the events that are whole.
#[derive(Default)]
pub struct Events {
    /// The line that is not whole yet.
    line: Vec<u8>,
    /// The `data` of the event that is not whole yet.
    data: Vec<u8>,
    has_data: bool,
}

/// An event longer than is taken.
#[derive(Debug, thiserror::Error)]
#[error("the server sent an event of more than 64 MiB")]
pub struct TooLong;

impl Events {
    /// The events that end within `bytes`; empty ones (a stream begins with one) are left out.
    ///
    /// # Errors
    /// An event is too long.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLong> {
        let mut events = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                return Err(TooLong);
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                events.extend(self.end_line(line.trim_ascii_end()));
            }
        }
        Ok(events)
    }

    fn end_line(&mut self, line: &[u8]) -> Option<String> {
        if line.is_empty() {
            self.has_data = false;
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then(|| String::from_utf8_lossy(&data).into_owned());
        }
        // Other fields (`id`, `retry`, `event`) and comments are for browsers.
        if let Some(data) = line.strip_prefix(b"data:") {
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            self.data
                .extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole_however_they_are_cut() {
        let stream = "id: 0\nretry: 3000\ndata:\n\n: keep-alive\n\ndata: {\"a\":\ndata: 1}\r\n\r\nevent: message\ndata: {\"b\":\"é\"}\n\ndata: {\"half\"";
        for size in [1, 2, 3, 7, stream.len()] {
            let mut events = Events::default();
            let mut all = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                all.extend(events.take(piece).expect("short"));
            }
            assert_eq!(all, ["{\"a\":\n1}", "{\"b\":\"é\"}"], "{size}");
        }
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut events = Events::default();
        let piece = vec![b'x'; 1 << 20];
        let mut taken = 0;
        while events.take(&piece).is_ok() {
            taken += 1;
            assert!(taken < 100);
        }
    }
}
