//! A machine that asks a network for an address and for what it shall boot, as firmware does (the
//! PXE specification 2.1, section 2; RFC 2131; RFC 4578) and as iPXE does.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use crate::lab::{CARD, ROUTER, SERVER, ip};

/// Who hears nothing asks again after so long.
const AGAIN: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(20);
const EVERYBODY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::BROADCAST, 67);
/// Where a PXE server is asked by who has an address.
const BOOT_SERVER: SocketAddrV4 = SocketAddrV4::new(SERVER, 4011);
const HARDWARE: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;
const ACK: u8 = 5;

const WANTED_ADDRESS: u8 = 50;
const MESSAGE: u8 = 53;
const ANSWERED_BY: u8 = 54;
const VENDOR: u8 = 60;
const BOOT_FILE: u8 = 67;
const END: u8 = 255;

type Options = BTreeMap<u8, Vec<u8>>;

/// What a machine says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One that boots from its disk.
    Ordinary,
    /// UEFI on x86-64, which boots from the network.
    Firmware,
    /// iPXE on it.
    Ipxe,
}

/// A machine in the lab, which has one card.
pub(crate) struct Machine {
    kind: Kind,
    socket: UdpSocket,
    address: Ipv4Addr,
    asked: u32,
    /// All that it was told.
    heard: Vec<Reply>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// To which of its questions.
    to: u32,
    /// By whom.
    pub(crate) by: Ipv4Addr,
    /// Which address it may have.
    pub(crate) address: Ipv4Addr,
    /// Where the file is.
    pub(crate) from: Ipv4Addr,
    /// What it shall boot.
    pub(crate) file: String,
    options: Options,
}

impl Machine {
    /// One that was just started, and has no address.
    pub(crate) fn start(kind: Kind) -> Self {
        ip(&format!("address flush dev {CARD}"));
        // So that it can be reached by whoever gives it one, and reaches everybody.
        ip(&format!("route replace default dev {CARD}"));
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 68)).expect("the port of DHCP");
        socket.set_broadcast(true).expect("everybody can be asked");
        socket.set_read_timeout(Some(AGAIN)).expect("it does not wait for ever");
        let address = Ipv4Addr::UNSPECIFIED;
        Self { kind, socket, address, asked: 0, heard: Vec::new() }
    }

    /// The same as another kind.
    pub(crate) fn becomes(&mut self, kind: Kind) {
        self.kind = kind;
    }

    /// Asks everybody for an address until all of these answered; what was heard of that.
    pub(crate) fn discover(&mut self, whom: &[Ipv4Addr]) -> Vec<Reply> {
        self.ask(DISCOVER, &Options::new(), EVERYBODY, whom)
    }

    /// All that was heard until now of the first question.
    pub(crate) fn heard_of_the_first(&self) -> Vec<Reply> {
        self.heard.iter().filter(|reply| reply.to == 1).cloned().collect()
    }

    /// Takes the address that the router offers, and asks the server that offered none what to boot.
    pub(crate) fn boot(&mut self) -> Reply {
        let offers = self.discover(&[ROUTER, SERVER]);
        let by = |whom| offers.iter().find(|offer| offer.by == whom).expect("it answered");
        let (router, server) = (by(ROUTER), by(SERVER));
        assert!(!router.speaks_of_booting(), "{router:?}");
        assert!(server.speaks_of_booting() && server.address.is_unspecified(), "{server:?}");
        let mut options = Options::new();
        options.insert(WANTED_ADDRESS, router.address.octets().into());
        options.insert(ANSWERED_BY, ROUTER.octets().into());
        let taken = self.ask(REQUEST, &options, EVERYBODY, &[ROUTER]);
        let taken = taken.iter().find(|reply| reply.by == ROUTER).expect("it answered");
        assert_eq!(taken.options[&MESSAGE], [ACK], "{taken:?}");
        self.address = taken.address;
        ip(&format!("address add {}/24 dev {CARD}", self.address));
        let told = self.ask(REQUEST, &Options::new(), BOOT_SERVER, &[SERVER]);
        told.into_iter().find(|reply| reply.by == SERVER).expect("it answered")
    }

    /// Asks, again where nothing comes, until all of these answered.
    fn ask(
        &mut self,
        message: u8,
        more: &Options,
        at: SocketAddrV4,
        whom: &[Ipv4Addr],
    ) -> Vec<Reply> {
        self.asked += 1;
        let question = self.question(message, more);
        let send = |socket: &UdpSocket| socket.send_to(&question, at).expect("it is sent");
        send(&self.socket);
        let until = Instant::now() + DEADLINE;
        loop {
            let of_this = self.heard.iter().filter(|reply| reply.to == self.asked);
            let of_this: Vec<Reply> = of_this.cloned().collect();
            if whom.iter().all(|one| of_this.iter().any(|reply| reply.by == *one)) {
                return of_this;
            }
            assert!(Instant::now() < until, "{:?} asked {whom:?}: {of_this:?}", self.kind);
            if !self.hear() {
                send(&self.socket);
            }
        }
    }

    /// Waits a moment for an answer; whether there was one.
    fn hear(&mut self) -> bool {
        let mut bytes = [0; 2048];
        let Ok((length, _)) = self.socket.recv_from(&mut bytes) else { return false };
        self.heard.push(Reply::parse(&bytes[..length]));
        true
    }

    fn question(&self, message: u8, more: &Options) -> Vec<u8> {
        // It is asked over Ethernet, and answered to everybody.
        let mut bytes = vec![1, 1, 6, 0];
        bytes.extend(self.asked.to_be_bytes());
        bytes.extend([0, 0, 0x80, 0]);
        bytes.extend(self.address.octets());
        bytes.extend([0; 12]);
        bytes.extend(HARDWARE);
        bytes.extend([0; 10 + 64 + 128]);
        bytes.extend([99, 130, 83, 99]);
        let options = [(MESSAGE, vec![message])].into_iter().chain(self.kind.options());
        for (option, value) in options.chain(more.clone()) {
            bytes.extend([option, value.len() as u8]);
            bytes.extend(value);
        }
        bytes.push(END);
        bytes
    }
}

impl Kind {
    /// What each of its questions says, beside what it is about.
    fn options(self) -> Options {
        let mut options = Options::from([(55, vec![1, 3, 43, VENDOR, 66, BOOT_FILE])]);
        let vendor = match self {
            Self::Ordinary => return options,
            Self::Firmware => "PXEClient:Arch:00007:UNDI:003016",
            Self::Ipxe => "PXEClient:Arch:00007:UNDI:003010",
        };
        // Its architecture, its network interface, its id, and how long an answer may be.
        let mut id = vec![0];
        id.extend([0x11; 16]);
        options.extend([(VENDOR, vendor.into()), (57, vec![5, 192])]);
        options.extend([(93, vec![0, 7]), (94, vec![1, 3, 16]), (97, id)]);
        if self == Self::Ipxe {
            // It knows HTTP.
            options.extend([(77, b"iPXE".to_vec()), (175, vec![19, 1, 1])]);
        }
        options
    }
}

impl Reply {
    fn parse(bytes: &[u8]) -> Self {
        let address = |at: usize| {
            let octets: [u8; 4] = bytes[at..at + 4].try_into().expect("four bytes");
            Ipv4Addr::from(octets)
        };
        assert_eq!((bytes[0], &bytes[28..34]), (2, &HARDWARE[..]), "it is an answer to it");
        let options = options(&bytes[240..]);
        let by: [u8; 4] = options[&ANSWERED_BY][..].try_into().expect("an address");
        let file = bytes[108..236].split(|byte| *byte == 0).next().unwrap_or_default();
        Self {
            to: u32::from_be_bytes(bytes[4..8].try_into().expect("four bytes")),
            by: by.into(),
            address: address(16),
            from: address(20),
            file: String::from_utf8_lossy(file).into_owned(),
            options,
        }
    }

    /// Whether it has anything for who boots from the network.
    pub(crate) fn speaks_of_booting(&self) -> bool {
        let is_pxe = self.options.get(&VENDOR).is_some_and(|vendor| vendor == b"PXEClient");
        is_pxe || !self.file.is_empty() || self.options.contains_key(&BOOT_FILE)
    }
}

fn options(mut bytes: &[u8]) -> Options {
    let mut options = Options::new();
    while let [option, length, rest @ ..] = bytes {
        if *option == END {
            break;
        }
        let (value, rest) = rest.split_at(usize::from(*length));
        options.insert(*option, value.to_vec());
        bytes = rest;
    }
    options
}
