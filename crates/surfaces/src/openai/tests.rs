//! What one request body means, and what one list of events looks like on the wire.
