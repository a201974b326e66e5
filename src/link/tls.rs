//! TLS for `raps://`, `tcps://` and `https://`: who we are, whom we trust, and the wrapped stream.
//!
//! A server makes its key and certificate on first use. A client accepts a server when, in this order: its
//! certificate has the pinned fingerprint; it is our own server on this machine; the known-hosts file has this certificate for this host and port; the
//! system's roots vouch for it; or the host is new and trust on first use is allowed. A certificate that differs
//! from the recorded one is refused, as ssh does.

mod stream;

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{UnbufferedClientConnection, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::{CipherSuite, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use sha2::{Digest, Sha256};

use super::{Link, private};
use crate::error::{Error, Kind, Result};
use crate::output::Cancel;
use stream::{Side, Stream};

/// SHA-256 of a certificate in DER, written as `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Fingerprint {
        Fingerprint(Sha256::digest(certificate).into())
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha256:{}", faster_hex::hex_string(&self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = Error;
    fn from_str(text: &str) -> Result<Fingerprint> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text).replace(':', "");
        let mut bytes = [0; 32];
        if digits.len() != 64 || faster_hex::hex_decode(digits.as_bytes(), &mut bytes).is_err() {
            return Err(
                Error::new(Kind::Usage, format!("bad fingerprint '{text}'")).hint("sha256: and 64 hexadecimal digits")
            );
        }
        Ok(Fingerprint(bytes))
    }
}

/// Where a server keeps its own key and certificate: one file, so that they always belong together.
const KEPT: &str = "identity.pem";

/// A certificate chain with its private key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads PEM: the chain from `certificate`, the key from `key` (which may be the same file).
    pub fn read(certificate: &Path, key: &Path) -> Result<Identity> {
        let bad = |path: &Path, why: &dyn std::fmt::Display| {
            Error::new(Kind::Format, format!("cannot use '{}' for TLS: {why}", path.display()))
                .hint("PEM with a certificate chain, and a private key")
        };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
            .map_err(|e| bad(certificate, &e))?;
        if chain.is_empty() {
            return Err(bad(certificate, &"no certificate in it"));
        }
        let key = PrivateKeyDer::from_pem_file(key).map_err(|e| bad(key, &e))?;
        Ok(Identity { chain, key })
    }

    /// The identity kept in `directory` (`identity.pem`), made on first use.
    pub fn load_or_create(directory: &Path) -> Result<Identity> {
        let path = directory.join(KEPT);
        if !path.exists() {
            let names = ["localhost", "127.0.0.1", "::1"].map(str::to_string);
            let made = rcgen::generate_simple_self_signed(names)
                .map_err(|e| Error::new(Kind::System, format!("cannot make a certificate: {e}")))?;
            private::create(&path, (made.signing_key.serialize_pem() + &made.cert.pem()).as_bytes())?;
        }
        Identity::read(&path, &path)
    }

    /// The fingerprint of the identity in `directory`, when one was made.
    pub fn kept(directory: &Path) -> Option<Fingerprint> {
        let path = directory.join(KEPT);
        Identity::read(&path, &path).ok().map(|own| own.fingerprint())
    }

    /// What clients pin.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.chain[0])
    }
}

/// How a server presents itself, ready for connections.
#[derive(Clone)]
pub struct ServerTls(Arc<ServerConfig>);

impl ServerTls {
    /// Presents `identity`; with `client_authority` (PEM) only clients whose certificate it signed are let in.
    pub fn new(identity: Identity, client_authority: Option<&Path>) -> Result<ServerTls> {
        let unusable =
            |e: &dyn std::fmt::Display| Error::new(Kind::Format, format!("cannot use the TLS identity: {e}"));
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| unusable(&e))?;
        let builder = match client_authority {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                let authorities = CertificateDer::pem_file_iter(path)
                    .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
                    .map_err(|e| Error::new(Kind::Format, format!("cannot use '{}': {e}", path.display())))?;
                roots.add_parsable_certificates(authorities);
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                    .build()
                    .map_err(|e| unusable(&e))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(identity.chain, identity.key).map_err(|e| unusable(&e))?;
        // Each client has its own thread and few reconnect at once: no tickets to keep, less to go wrong.
        config.send_tls13_tickets = 1;
        Ok(ServerTls(Arc::new(config)))
    }

    /// The configuration, for a server that speaks one of `protocols` (RFC 7301) on streams of its own.
    pub fn configuration(&self, protocols: &[&[u8]]) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.0);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    /// The server's side of the handshake over `link`, within `timeout`.
    /// Returns the client's certificate, too, when one was asked for.
    pub fn accept(
        &self,
        link: Box<dyn Link>,
        timeout: Duration,
        cancel: &Cancel,
    ) -> Result<(Box<dyn Link>, Option<Fingerprint>)> {
        let side = UnbufferedServerConnection::new(Arc::clone(&self.0)).map_err(|e| failed(&io::Error::other(e)))?;
        let mut stream = Stream::new(side, link);
        shake(&mut stream, timeout, cancel)?;
        let shown = stream.common().peer_certificates().and_then(|chain| chain.first()).map(Fingerprint::of);
        Ok((Box::new(stream), shown))
    }
}

/// How long a step of the handshake may wait before deadlines and Ctrl-C are looked at.
const SLICE: Duration = Duration::from_millis(50);

/// Completes the handshake within `timeout`, however slowly the peer dribbles its bytes.
fn shake<S: Side>(stream: &mut Stream<S>, timeout: Duration, cancel: &Cancel) -> Result<()> {
    let deadline = Instant::now() + timeout;
    stream.link().set_timeout(Some(SLICE)).map_err(|e| failed(&e))?;
    while !stream.is_ready() {
        cancel.check()?;
        match stream.step() {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(failed(&error)),
        }
        if Instant::now() >= deadline && !stream.is_ready() {
            return Err(Error::new(
                Kind::Timeout,
                format!("no TLS handshake with {} within {} ms", stream.peer(), timeout.as_millis()),
            ));
        }
    }
    Ok(())
}

/// Whom a client trusts.
#[derive(Debug, Clone)]
pub struct Trust {
    /// Only this certificate.
    pub pinned: Option<Fingerprint>,
    /// The file of certificates seen before.
    pub known_hosts: Option<PathBuf>,
    /// The certificate of this account's own servers, when the host is this machine.
    pub own: Option<Fingerprint>,
    /// Whether a host that nobody vouches for may be recorded and trusted from now on.
    pub first_use: bool,
}

/// A certificate that was trusted because its host is new, for the user to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstUse {
    /// `host:port`.
    pub endpoint: String,
    /// What to compare with the line that the server printed.
    pub fingerprint: Fingerprint,
}

impl std::fmt::Display for FirstUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "WARNING: {} is new and nobody vouches for it; its certificate {} is trusted from now on: compare it with \
             what the server printed",
            self.endpoint, self.fingerprint
        )
    }
}

/// A stream inside TLS, and how its server was recognised.
pub struct Connected {
    /// The stream.
    pub link: Box<dyn Link>,
    /// Set when the server is trusted only because it is new.
    pub first_use: Option<FirstUse>,
    /// Whether it is a server of this account on this machine: its certificate is [`Trust::own`].
    pub own: bool,
}

/// The client's side of the handshake with `host` (a name or an address) at `endpoint` (`host:port`), over `link`,
/// within `timeout`. The known-hosts file is written only after the handshake has succeeded.
pub fn connect(
    trust: &Trust,
    identity: Option<Identity>,
    host: &str,
    endpoint: &str,
    link: Box<dyn Link>,
    timeout: Duration,
    cancel: &Cancel,
) -> Result<Connected> {
    let name = match host.parse::<IpAddr>() {
        Ok(address) => ServerName::IpAddress(address.into()),
        Err(_) => ServerName::try_from(host.to_string())
            .map_err(|_| Error::new(Kind::Usage, format!("'{host}' is no host name")))?,
    };
    let verifier = Arc::new(Verifier::new(trust.clone(), endpoint)?);
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| failed(&io::Error::other(e)))?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone());
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder
            .with_client_auth_cert(identity.chain, identity.key)
            .map_err(|e| Error::new(Kind::Format, format!("cannot use the client certificate: {e}")))?,
    };
    let side = UnbufferedClientConnection::new(Arc::new(config), name).map_err(|e| failed(&io::Error::other(e)))?;
    let mut stream = Stream::new(side, link);
    shake(&mut stream, timeout, cancel).map_err(|error| verifier.refusal().unwrap_or(error))?;
    let first_use = verifier.first_use();
    if let (Some(first), Some(path)) = (&first_use, &trust.known_hosts) {
        private::append(path, format!("{} {}\n", first.endpoint, first.fingerprint).as_bytes())?;
    }
    let shown = stream.common().peer_certificates().and_then(|chain| chain.first()).map(Fingerprint::of);
    let own = trust.own.is_some() && trust.own == shown;
    Ok(Connected { link: Box::new(stream), first_use, own })
}

/// The certificate recorded for `endpoint` in the known-hosts file at `path`, with the number of its line.
fn recorded(path: &Path, endpoint: &str) -> Result<Option<(usize, Fingerprint)>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::system(format_args!("cannot read '{}'", path.display()), &e)),
    };
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace();
        if words.next() == Some(endpoint) {
            // A damaged entry must not turn into "never seen": that would accept anybody.
            let fingerprint = words.next().unwrap_or_default().parse::<Fingerprint>();
            let fingerprint = fingerprint.map_err(|e| e.context(format_args!("{}:{}", path.display(), index + 1)))?;
            return Ok(Some((index + 1, fingerprint)));
        }
    }
    Ok(None)
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| {
        let mut provider = ring::default_provider();
        // The faster of two that nobody breaks comes first: what has shorter keys has fewer rounds.
        let is_first = |suite: CipherSuite| suite == CipherSuite::TLS13_AES_128_GCM_SHA256;
        provider.cipher_suites.sort_by_key(|suite| !is_first(suite.suite()));
        Arc::new(provider)
    }))
}

fn failed(error: &io::Error) -> Error {
    let error = Error::system("the TLS handshake failed", error);
    if error.kind() == Kind::System { Error::new(Kind::Protocol, error.message()) } else { error }
}

#[derive(Debug)]
enum Verdict {
    FirstUse(FirstUse),
    Refused(String, String),
}

/// Decides about the server's certificate and remembers why, since rustls carries only a fixed set of reasons.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    endpoint: String,
    known: Option<(usize, Fingerprint)>,
    algorithms: WebPkiSupportedAlgorithms,
    verdict: Mutex<Option<Verdict>>,
}

impl Verifier {
    fn new(trust: Trust, endpoint: &str) -> Result<Verifier> {
        let known = match &trust.known_hosts {
            Some(path) => recorded(path, endpoint)?,
            None => None,
        };
        Ok(Verifier {
            trust,
            endpoint: endpoint.to_string(),
            known,
            algorithms: provider().signature_verification_algorithms,
            verdict: Mutex::new(None),
        })
    }

    fn remember(&self, verdict: Verdict) {
        *self.verdict.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(verdict);
    }

    fn refuse(&self, message: String, hint: String) -> rustls::Error {
        self.remember(Verdict::Refused(message, hint));
        rustls::Error::InvalidCertificate(rustls::CertificateError::ApplicationVerificationFailure)
    }

    fn refusal(&self) -> Option<Error> {
        match &*self.verdict.lock().unwrap_or_else(std::sync::PoisonError::into_inner) {
            Some(Verdict::Refused(message, hint)) => {
                Some(Error::new(Kind::Untrusted, message.clone()).hint(hint.clone()))
            }
            _ => None,
        }
    }

    fn first_use(&self) -> Option<FirstUse> {
        match &*self.verdict.lock().unwrap_or_else(std::sync::PoisonError::into_inner) {
            Some(Verdict::FirstUse(first)) => Some(first.clone()),
            _ => None,
        }
    }

    fn system_vouches(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return false;
        }
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .is_ok_and(|verifier| verifier.verify_server_cert(end_entity, intermediates, name, &[], now).is_ok())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let shown = Fingerprint::of(end_entity);
        if let Some(pinned) = self.trust.pinned {
            return if pinned == shown {
                Ok(ServerCertVerified::assertion())
            } else {
                Err(self.refuse(
                    format!("{} shows another certificate than the pinned one: {shown}", self.endpoint),
                    "somebody may be in between; compare with the fingerprint that the server printed".to_string(),
                ))
            };
        }
        if self.trust.own == Some(shown) {
            return Ok(ServerCertVerified::assertion());
        }
        if let Some((line, known)) = self.known {
            let file = self.trust.known_hosts.as_deref().unwrap_or(Path::new("")).display();
            return if known == shown {
                Ok(ServerCertVerified::assertion())
            } else {
                Err(self.refuse(
                    format!("the certificate of {} has changed: {shown}, known was {known}", self.endpoint),
                    format!("somebody may be in between; if the change is right, remove line {line} of {file}"),
                ))
            };
        }
        if self.system_vouches(end_entity, intermediates, name, now) {
            return Ok(ServerCertVerified::assertion());
        }
        if self.trust.first_use {
            self.remember(Verdict::FirstUse(FirstUse { endpoint: self.endpoint.clone(), fingerprint: shown }));
            return Ok(ServerCertVerified::assertion());
        }
        Err(self.refuse(
            format!("nobody vouches for the certificate of {}: {shown}", self.endpoint),
            "compare with what the server printed; then net.fingerprint=sha256:... pins it, net.firstuse=true records it"
                .to_string(),
        ))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{IoSliceMut, Read, Write};

    use super::*;
    use crate::link::memory;

    const LONG: Duration = Duration::from_secs(20);

    fn handshake(server: ServerTls, trust: &Trust) -> Result<Option<FirstUse>> {
        let (ours, theirs) = memory::pair(Duration::ZERO);
        let thread = std::thread::spawn(move || {
            server.accept(Box::new(theirs), LONG, &Cancel::new()).map(|(mut link, _)| {
                link.write_all(b"hi").unwrap();
                link.flush().unwrap();
                let _ = link.read(&mut [0]);
            })
        });
        let result = connect(trust, None, "localhost", "localhost:1", Box::new(ours), LONG, &Cancel::new());
        let answer = result.map(|Connected { mut link, first_use, own }| {
            let mut hi = [0; 2];
            link.read_exact(&mut hi).unwrap();
            assert_eq!(&hi, b"hi");
            assert_eq!(own, trust.own.is_some());
            first_use
        });
        let _ = thread.join().unwrap();
        answer
    }

    fn trust(directory: &Path, first_use: bool) -> Trust {
        Trust { pinned: None, known_hosts: Some(directory.join("known_hosts")), own: None, first_use }
    }

    #[test]
    fn a_new_host_is_recorded_and_a_changed_one_refused() {
        let here = tempfile::tempdir().unwrap();
        let first = Identity::load_or_create(&here.path().join("a")).unwrap();
        let fingerprint = first.fingerprint();
        let same = Identity::load_or_create(&here.path().join("a")).unwrap();
        assert_eq!(same.fingerprint(), fingerprint, "the identity is kept");
        let server = ServerTls::new(first, None).unwrap();
        let unknown = handshake(server.clone(), &trust(here.path(), false)).unwrap_err();
        assert_eq!(unknown.kind(), Kind::Untrusted);
        assert!(!here.path().join("known_hosts").exists(), "a refused host is not recorded");
        let seen = handshake(server.clone(), &trust(here.path(), true)).unwrap();
        assert_eq!(seen.unwrap().fingerprint, fingerprint);
        assert_eq!(handshake(server, &trust(here.path(), false)).unwrap(), None, "known by now");
        let other = Identity::load_or_create(&here.path().join("b")).unwrap();
        let changed = handshake(ServerTls::new(other, None).unwrap(), &trust(here.path(), true)).unwrap_err();
        assert!(changed.to_string().contains("has changed"), "{changed}");
    }

    #[test]
    fn a_pinned_fingerprint_decides_alone() {
        let here = tempfile::tempdir().unwrap();
        let identity = Identity::load_or_create(here.path()).unwrap();
        let right = Trust { pinned: Some(identity.fingerprint()), known_hosts: None, own: None, first_use: false };
        let own = Trust { pinned: None, own: Some(identity.fingerprint()), ..right.clone() };
        let wrong = Trust { pinned: Some(Fingerprint([7; 32])), known_hosts: None, own: None, first_use: true };
        let server = ServerTls::new(identity, None).unwrap();
        assert_eq!(handshake(server.clone(), &right).unwrap(), None);
        assert_eq!(handshake(server.clone(), &own).unwrap(), None);
        assert!(handshake(server, &wrong).unwrap_err().message().contains("pinned"));
    }

    #[test]
    fn a_damaged_record_refuses_instead_of_forgetting() {
        let here = tempfile::tempdir().unwrap();
        fs::write(here.path().join("known_hosts"), "localhost:1 sha256:zz\n").unwrap();
        let identity = Identity::load_or_create(here.path()).unwrap();
        assert!(handshake(ServerTls::new(identity, None).unwrap(), &trust(here.path(), true)).is_err());
    }

    #[test]
    fn plain_text_ends_the_handshake() {
        let here = tempfile::tempdir().unwrap();
        let server = ServerTls::new(Identity::load_or_create(here.path()).unwrap(), None).unwrap();
        let (mut ours, theirs) = memory::pair(Duration::ZERO);
        ours.write_all(b"\x01\x05\x08/bin/ls\0").unwrap();
        assert!(server.accept(Box::new(theirs), LONG, &Cancel::new()).is_err());
        let (_silent, theirs) = memory::pair(Duration::ZERO);
        let slow = server.accept(Box::new(theirs), Duration::from_millis(60), &Cancel::new());
        assert_eq!(slow.err().map(|e| e.kind()), Some(Kind::Timeout));
    }

    #[test]
    fn bytes_come_in_order_whatever_is_asked_for_and_then_the_end() {
        let here = tempfile::tempdir().unwrap();
        let server = ServerTls::new(Identity::load_or_create(here.path()).unwrap(), None).unwrap();
        let sent: Vec<u8> = (0..400_000u32).map(|at| (at * 7 / 8) as u8).collect();
        for goodbye in [true, false] {
            let (ours, theirs) = memory::pair(Duration::ZERO);
            let wanted = sent.clone();
            let thread = std::thread::spawn({
                let server = server.clone();
                move || {
                    let (mut link, _) = server.accept(Box::new(theirs), LONG, &Cancel::new()).unwrap();
                    link.set_timeout(None).unwrap();
                    let mut echoed = vec![0; wanted.len()];
                    for piece in echoed.chunks_mut(10_007) {
                        link.read_exact(piece).unwrap();
                        link.write_all(piece).unwrap();
                        link.flush().unwrap();
                        link.trim();
                    }
                    assert!(echoed == wanted);
                    if goodbye {
                        link.finish().unwrap();
                    }
                }
            });
            let trusted = trust(here.path(), true);
            let connected = connect(&trusted, None, "localhost", "localhost:1", Box::new(ours), LONG, &Cancel::new());
            let mut link = connected.unwrap().link;
            // Neither direction waits for the other: what is not taken at once is taken later.
            link.set_timeout(Some(Duration::from_millis(1))).unwrap();
            let (mut written, mut got) = (0, Vec::new());
            while got.len() < sent.len() {
                if written < sent.len() {
                    match link.write(&sent[written..(written + 70_001).min(sent.len())]) {
                        Ok(count) => written += count,
                        Err(error) => {
                            assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
                        }
                    }
                } else {
                    // It may have to wait.
                    let _ = link.flush();
                }
                let (mut first, mut second) = ([0; 100], [0; 5000]);
                match link.read_vectored(&mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)]) {
                    Ok(count) => {
                        got.extend_from_slice(&first[..count.min(100)]);
                        got.extend_from_slice(&second[..count.saturating_sub(100)]);
                    }
                    Err(error) => assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)),
                }
            }
            assert!(got == sent);
            thread.join().unwrap();
            link.set_timeout(None).unwrap();
            match link.read(&mut [0]) {
                Ok(count) => assert!(count == 0 && goodbye && link.is_gone()),
                // Somebody may have cut it off.
                Err(error) => assert!(error.kind() == io::ErrorKind::UnexpectedEof && !goodbye),
            }
        }
    }
}
