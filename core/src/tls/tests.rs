use std::{fs, path::PathBuf, process::Command};

use rustls::version::TLS12;

use super::*;
use crate::{address::Address, options::Options, process::Process};

/// A folder with an authority and certificates that it signed, made with the openssl command.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Files {
        let folder = std::env::temp_dir().join(format!("cmws-tls-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let files = Files(folder);
        files.openssl(&format!("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 10 -subj /CN=ca-{name}"));
        files.leaf("server");
        files
    }

    fn openssl(&self, arguments: &str) {
        let done = Command::new("openssl").args(arguments.split(' ')).current_dir(&self.0).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn leaf(&self, name: &str) {
        self.openssl(&format!("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        fs::write(self.0.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
        self.openssl(&format!("x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 5 -extfile names -out {name}.pem"));
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().into()
    }

    fn options(&self, set: &[(&str, &str)]) -> Options {
        let mut options = Options::default();
        for (name, value) in set {
            let value = if name.contains("file") { self.path(value) } else { (*value).into() };
            options.set_text(name, value.as_bytes()).unwrap();
        }
        options
    }

    fn server(&self) -> Tls {
        let options = self.options(&[("certificate_file", "server.pem"), ("key_file", "server.key")]);
        Server::new(&options).unwrap().unwrap().session().unwrap()
    }

    fn client(&self, host: &str) -> Tls {
        let address = Address::parse(format!("wss://{host}/").as_bytes()).unwrap();
        let client = Client::new(&self.options(&[("ca_files", "ca.pem")]), &address).unwrap();
        let process = Process::current().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(client.session(host, process)).unwrap()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Moves what `from` has sealed, in pieces; returns what was in it.
fn carry(from: &mut Tls, to: &mut Tls, piece: usize) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    let bytes = from.pending().to_vec();
    from.advance(bytes.len());
    for piece in bytes.chunks(piece) {
        to.open(&mut piece.to_vec(), &mut plain)?;
    }
    Ok(plain)
}

fn shake_hands(client: &mut Tls, server: &mut Tls, piece: usize) -> Result<()> {
    for _ in 0..10 {
        carry(client, server, piece)?;
        carry(server, client, piece)?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

fn exchange(client: &mut Tls, server: &mut Tls, piece: usize) {
    let large: Vec<u8> = (0..100_000u32).map(|i| (i * 7) as u8).collect();
    for plain in [&b"x"[..], b"", b"hello", &large[..16384], &large[..16385], &large] {
        client.seal(plain).unwrap();
        assert!(carry(client, server, piece).unwrap() == plain);
        server.seal(plain).unwrap();
        server.seal(b"+").unwrap();
        assert!(carry(server, client, piece).unwrap() == [plain, b"+"].concat());
    }
    assert_eq!(client.partial.capacity() + server.partial.capacity(), 0);
    client.close_notify().unwrap();
    client.close_notify().unwrap();
    assert!(client.seal(b"late").is_err());
    carry(client, server, piece).unwrap();
    assert!(server.peer_closed() && !client.peer_closed());
    server.seal(b"still").unwrap(); // its own half is open
    server.close_notify().unwrap();
    assert_eq!(carry(server, client, piece).unwrap(), b"still");
    assert!(client.peer_closed());
}

#[test]
fn both_sides_speak_wherever_the_bytes_are_split() {
    let files = Files::new("split");
    for piece in [1, 2, 3, 7, 1000, usize::MAX] {
        let (mut client, mut server) = (files.client("localhost"), files.server());
        shake_hands(&mut client, &mut server, piece).unwrap();
        exchange(&mut client, &mut server, piece);
    }
}

#[test]
fn tls_1_2_is_the_same() {
    let files = Files::new("tls12");
    for piece in [1, usize::MAX] {
        let roots = {
            let mut roots = rustls::RootCertStore::empty();
            use rustls::pki_types::{CertificateDer, pem::PemObject};
            roots.add(CertificateDer::from_pem_file(files.path("ca.pem")).unwrap()).unwrap();
            roots
        };
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut client = Tls::client(Arc::new(config), "127.0.0.1".try_into().unwrap()).unwrap();
        let mut server = files.server();
        shake_hands(&mut client, &mut server, piece).unwrap();
        exchange(&mut client, &mut server, piece);
    }
}

#[test]
fn what_left_in_part_is_not_sent_again() {
    let files = Files::new("part");
    let (mut client, mut server) = (files.client("localhost"), files.server());
    shake_hands(&mut client, &mut server, usize::MAX).unwrap();
    let (mut sent, mut got) = (Vec::new(), Vec::new());
    for i in 0..2000u32 {
        let plain = vec![i as u8; (i % 97) as usize];
        client.seal(&plain).unwrap();
        sent.extend_from_slice(&plain);
        let part = client.pending().len().min((i % 61) as usize);
        let mut piece = client.pending()[..part].to_vec();
        client.advance(part);
        server.open(&mut piece, &mut got).unwrap();
    }
    got.extend(carry(&mut client, &mut server, usize::MAX).unwrap());
    assert!(sent == got);
    assert!(client.sealed.capacity() <= limits::KEPT_OUT_BUFFER);
}

#[test]
fn a_changed_byte_ends_it_and_the_peer_is_told() {
    let files = Files::new("changed");
    let (mut client, mut server) = (files.client("localhost"), files.server());
    shake_hands(&mut client, &mut server, usize::MAX).unwrap();
    client.seal(b"first").unwrap();
    client.seal(b"second").unwrap();
    let mut bytes = client.pending().to_vec();
    client.advance(bytes.len());
    *bytes.last_mut().unwrap() ^= 1;
    let mut plain = Vec::new();
    let error = server.open(&mut bytes, &mut plain).unwrap_err();
    assert_eq!((error.kind, &*plain), (Kind::Tls, &b"first"[..]));
    assert!(!server.pending().is_empty());
    assert!(server.seal(b"x").is_err() && server.open(&mut [0], &mut plain).is_err());
    let told = carry(&mut server, &mut client, usize::MAX).unwrap_err();
    assert!(told.text.contains("the server refused"), "{}", told.text);
}

#[test]
fn handshakes_fail_with_the_reason() {
    let files = Files::new("reasons");
    let fail = |mut client: Tls, mut server: Tls| {
        shake_hands(&mut client, &mut server, usize::MAX).unwrap_err().text.into_owned()
    };
    let text = fail(files.client("other.test"), files.server());
    assert_eq!(text, "the server's certificate is for localhost, 127.0.0.1, not for other.test");
    let stranger = Files::new("reasons-stranger");
    let text = fail(stranger.client("localhost"), files.server());
    assert!(text.contains("not signed by an authority that is known here"), "{text}");

    let mut plain = Vec::new();
    for (answer, says) in
        [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "plain HTTP"), (b"SSH-2.0-OpenSSH\r\n", "TLS")]
    {
        let error = files.client("localhost").open(&mut answer.to_vec(), &mut plain).unwrap_err();
        assert!(error.kind == Kind::Tls && error.text.contains(says), "{}", error.text);
    }
    let mut server = files.server();
    let mut request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
    assert!(server.open(&mut request, &mut plain).unwrap_err().text.contains("plain HTTP"));
    assert!(server.met_http() && plain.is_empty());
}

#[test]
fn a_handshake_without_end_is_bounded() {
    let files = Files::new("endless");
    let mut server = files.server();
    // Fragments of a hello that says it is 16 MiB long.
    let mut record = vec![22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
    record.resize(5 + 0x4000, 0);
    let mut plain = Vec::new();
    let result = (0..100).try_for_each(|_| server.open(&mut record.clone(), &mut plain));
    assert_eq!(result.unwrap_err().kind, Kind::Tls);
    assert!(server.partial.capacity() <= 4 * limits::MAX_TLS_PARTIAL);
}

#[test]
fn bad_files_are_told_by_name() {
    let files = Files::new("files");
    files.leaf("other");
    fs::write(files.0.join("empty.pem"), "").unwrap();
    fs::write(files.0.join("broken.pem"), "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n")
        .unwrap();
    fs::write(files.0.join("cut.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
    for (set, says) in [
        (&[("certificate_file", "none.pem"), ("key_file", "server.key")][..], "none.pem\": no such file"),
        (&[("certificate_file", "empty.pem"), ("key_file", "server.key")], "empty.pem\": there is no cert"),
        (&[("certificate_file", "broken.pem"), ("key_file", "server.key")], "not base64"),
        (&[("certificate_file", "cut.pem"), ("key_file", "server.key")], "without an end"),
        (&[("certificate_file", "server.pem"), ("key_file", "other.key")], "does not belong to"),
        (&[("certificate_file", "server.pem"), ("key_file", "ca.pem")], "no private key"),
        (&[("certificate_file", "server.pem")], "no private key"),
        (&[("key_file", "server.key")], "needs certificate_file"),
        (&[("ca_files", "ca.pem")], "needs certificate_file"),
        (
            &[("certificate_file", "server.pem"), ("key_file", "server.key"), ("min_tls_version", "1.1")],
            "1.2 or 1.3",
        ),
        (
            &[("certificate_file", "server.pem"), ("key_file", "server.key"), ("ca_files", "server.key")],
            "no certificate in",
        ),
    ] {
        let error = Server::new(&files.options(set)).err().unwrap();
        assert_eq!(error.kind, Kind::InvalidArgument);
        assert!(error.text.contains(says), "{} has no {says:?}", error.text);
    }
    assert!(Server::new(&Options::default()).unwrap().is_none());
    // A key in the file of the certificate.
    let both = fs::read_to_string(files.0.join("server.pem")).unwrap()
        + &fs::read_to_string(files.0.join("server.key")).unwrap();
    fs::write(files.0.join("both.pem"), both).unwrap();
    assert!(Server::new(&files.options(&[("certificate_file", "both.pem")])).unwrap().is_some());
    let address = Address::parse(b"wss://localhost/").unwrap();
    let error = Client::new(&files.options(&[("server_name", "a b")]), &address).err().unwrap();
    assert!(error.kind == Kind::InvalidArgument && error.text.contains("server_name"));
}

#[test]
fn s07_a_client_certificate_does_not_go_to_another_origin() {
    let files = Files::new("origin");
    let options = files.options(&[
        ("certificate_file", "server.pem"),
        ("key_file", "server.key"),
        ("ca_files", "ca.pem"),
        ("server_name", "a.test"),
    ]);
    let mut client = Client::new(&options, &Address::parse(b"wss://b.test/").unwrap()).unwrap();
    assert!(client.has_identity() && client.name("b.test").unwrap().to_str() == "a.test");
    client.leave_origin();
    assert!(!client.has_identity() && client.name("c.test").unwrap().to_str() == "c.test");
}
