//! A name server that knows one name, and says what a test tells it to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

/// The name that it knows.
pub(super) const NAME: &str = "models.example";

/// What it answers: an address record each, with this TTL in seconds, or that there is no
/// such name.
#[derive(Clone, Debug)]
struct Known {
    addresses: Vec<Ipv4Addr>,
    ttl: u32,
    questions: u64,
}

/// The server. It ends with the runtime of its test.
pub(super) struct NameServer {
    pub(super) address: SocketAddr,
    known: Arc<Mutex<Known>>,
}

impl NameServer {
    pub(super) async fn start(addresses: &[Ipv4Addr], ttl: u32) -> NameServer {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let known = Arc::new(Mutex::new(Known {
            addresses: addresses.to_vec(),
            ttl,
            questions: 0,
        }));
        let shared = known.clone();
        tokio::spawn(async move {
            let mut question = [0; 1500];
            while let Ok((length, who)) = socket.recv_from(&mut question).await {
                let answer = shared.lock().unwrap().answer(&question[..length]);
                socket.send_to(&answer, who).await.unwrap();
            }
        });
        NameServer { address, known }
    }

    /// From now on the name has these addresses; none if there is no such name any more.
    pub(super) fn says(&self, addresses: &[Ipv4Addr]) {
        self.known.lock().unwrap().addresses = addresses.to_vec();
    }

    /// How often it was asked for addresses of version 4.
    pub(super) fn questions(&self) -> u64 {
        self.known.lock().unwrap().questions
    }
}

impl Known {
    /// The answer to a message with one question (RFC 1035 section 4).
    fn answer(&mut self, message: &[u8]) -> Vec<u8> {
        const HEADER: usize = 12;
        let (mut name, mut at) = (String::new(), HEADER);
        while message[at] != 0 {
            let label = &message[at + 1..at + 1 + usize::from(message[at])];
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(std::str::from_utf8(label).unwrap());
            at += 1 + label.len();
        }
        let is_address = message[at + 1..at + 5] == [0, 1, 0, 1];
        let question = &message[HEADER..at + 5];
        let exists = name.eq_ignore_ascii_case(NAME) && !self.addresses.is_empty();
        let listed = if exists && is_address {
            self.addresses.as_slice()
        } else {
            &[]
        };
        self.questions += u64::from(is_address);
        let mut answer = message[..2].to_vec();
        // A response of one with authority; 3 is that there is no such name.
        answer.extend([0x85, if exists { 0x80 } else { 0x83 }, 0, 1, 0]);
        answer.push(u8::try_from(listed.len()).unwrap());
        answer.extend([0; 4]);
        answer.extend(question);
        for address in listed {
            // The name is that of the question; an address record of the internet.
            answer.extend([0xc0, 12, 0, 1, 0, 1]);
            answer.extend(self.ttl.to_be_bytes());
            answer.extend([0, 4]);
            answer.extend(address.octets());
        }
        answer
    }
}
