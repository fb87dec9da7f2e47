//! What comes back: frames are counted, not read, but for the first message of each connection.

/// What a [`Parser`] found.
pub enum Seen {
    /// A whole message.
    Message(Message),
    /// A Ping and what it has to say.
    Ping(Vec<u8>),
    /// The server's Close frame.
    Close,
}

pub struct Message {
    pub text: bool,
    pub compressed: bool,
    pub length: u64,
    /// All of it, where it is the first.
    pub first: Option<Vec<u8>>,
}

/// The frames of one connection, in whatever pieces they come.
pub struct Parser {
    head: [u8; 10],
    have: usize,
    /// Bytes of payload that are still to come.
    left: u64,
    /// Of the message that has begun; of the frame where that is a control frame.
    message: Message,
    begun: bool,
    control: Vec<u8>,
}

impl Parser {
    pub fn new() -> Parser {
        let message = Message { text: false, compressed: false, length: 0, first: Some(Vec::new()) };
        Parser { head: [0; 10], have: 0, left: 0, message, begun: false, control: Vec::new() }
    }

    /// Bytes of payload that nobody looks at come next.
    pub fn unread(&self) -> u64 {
        if self.message.first.is_some() || self.is_control() { 0 } else { self.left }
    }

    /// `n` of them have been left out of what [`feed`](Parser::feed) is given.
    pub fn skip(&mut self, n: u64, seen: &mut Vec<Seen>) {
        self.left -= n;
        if self.left == 0 {
            self.end_of_frame(seen);
        }
    }

    pub fn feed(&mut self, mut data: &[u8], seen: &mut Vec<Seen>) -> Result<(), String> {
        while !data.is_empty() {
            if self.left > 0 {
                let n = self.left.min(data.len() as u64) as usize;
                if self.is_control() {
                    self.control.extend(&data[..n]);
                } else if let Some(first) = &mut self.message.first {
                    first.extend(&data[..n]);
                }
                data = &data[n..];
                self.skip(n as u64, seen);
                continue;
            }
            self.head[self.have] = data[0];
            self.have += 1;
            data = &data[1..];
            let length = match self.head[1] {
                _ if self.have < 2 => continue,
                126 if self.have < 4 => continue,
                126 => u16::from_be_bytes([self.head[2], self.head[3]]).into(),
                127 if self.have < 10 => continue,
                127 => u64::from_be_bytes(self.head[2..].try_into().expect("eight bytes")),
                n => n.into(),
            };
            self.have = 0;
            self.begin_frame(length)?;
            if length == 0 {
                self.end_of_frame(seen);
            }
        }
        Ok(())
    }

    fn is_control(&self) -> bool {
        self.head[0] & 8 != 0
    }

    fn begin_frame(&mut self, length: u64) -> Result<(), String> {
        let (first, second) = (self.head[0], self.head[1]);
        if first & 0x30 != 0 || second & 0x80 != 0 {
            return Err("a frame from the server has reserved bits or a mask".into());
        }
        self.left = length;
        match first & 15 {
            0 if self.begun => {}
            1 | 2 if !self.begun => {
                self.message.text = first & 15 == 1;
                self.message.compressed = first & 0x40 != 0;
                self.message.length = 0;
            }
            8..=10 if length < 126 && first & 0xc0 == 0x80 => return Ok(()),
            opcode => return Err(format!("a frame with opcode {opcode} at a wrong place")),
        }
        self.begun = true;
        self.message.length += length;
        Ok(())
    }

    fn end_of_frame(&mut self, seen: &mut Vec<Seen>) {
        let mut control = || std::mem::take(&mut self.control);
        match self.head[0] & 15 {
            8 => seen.push(Seen::Close),
            9 => seen.push(Seen::Ping(control())),
            10 => drop(control()),
            _ if self.head[0] & 0x80 != 0 => {
                self.begun = false;
                let Message { text, compressed, length, .. } = self.message;
                let first = self.message.first.take();
                seen.push(Seen::Message(Message { text, compressed, length, first }));
            }
            _ => {}
        }
    }
}
