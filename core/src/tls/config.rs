//! What TLS is to do, made from options: certificates, authorities, versions.

use std::{
    collections::VecDeque,
    io::Write,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustls::{
    ALL_VERSIONS, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
    server::WebPkiClientVerifier,
    sign::CertifiedKey,
    version::TLS13,
};
use tokio::{sync::OnceCell, task::spawn_blocking};

use super::Tls;
use crate::{
    address::Address,
    error::{Error, Kind, Result, io_text},
    limits,
    lock::{Mutex, RwLock},
    options::{Options, Texts},
    process::Process,
};

/// What the TLS of a process shares. It hangs on the process's state, as everything does.
pub(crate) struct Shared {
    /// The system's authorities, loaded once.
    roots: OnceCell<Arc<RootCertStore>>,
    /// What the last connects used: their sessions can be resumed with it, and connections with
    /// the same options have it once.
    recent: Mutex<VecDeque<(Arc<Material>, Arc<ClientConfig>)>>,
    warned: AtomicBool,
}

impl Shared {
    pub(crate) fn new() -> Shared {
        Shared {
            roots: OnceCell::const_new(),
            recent: Mutex::new(VecDeque::new()),
            warned: AtomicBool::new(false),
        }
    }

    /// The certificates of the authorities that the system trusts. Reading them takes
    /// milliseconds, which the runtime's thread does not have.
    async fn roots(&self) -> Result<Arc<RootCertStore>> {
        let load = || async {
            let loaded = spawn_blocking(|| {
                let mut roots = RootCertStore::empty();
                // A system may have certificates that can't be used; the others count.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                Arc::new(roots)
            });
            loaded.await.map_err(|_| Error::from(Kind::Internal))
        };
        self.roots.get_or_try_init(load).await.cloned()
    }

    /// Says once that certificates go unchecked. Not from the runtime's thread, which must not
    /// wait for whoever reads standard error; and not from the host's, which a closed standard
    /// error could end with a signal.
    async fn warn(&self) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            let text = "coromega_ws: warning: option \"insecure\" is on: servers' certificates are not \
                        checked, and anybody on the way can read and change everything\n";
            let _ = spawn_blocking(move || std::io::stderr().write_all(text.as_bytes())).await;
        }
    }

    fn recent(&self, material: &Material) -> Option<Arc<ClientConfig>> {
        let recent = self.recent.lock();
        recent.iter().find(|(m, _)| **m == *material).map(|(_, config)| config.clone())
    }

    fn keep(&self, material: Arc<Material>, config: Arc<ClientConfig>) {
        let mut recent = self.recent.lock();
        recent.truncate(limits::KEPT_TLS_CONFIGS - 1);
        recent.push_front((material, config));
    }
}

/// What the files of the options hold.
#[derive(PartialEq)]
struct Material {
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    authorities: Vec<CertificateDer<'static>>,
    only_tls13: bool,
    insecure: bool,
}

fn invalid(option: &str, file: &str, what: impl std::fmt::Display) -> Error {
    Error::new(Kind::InvalidArgument, format!("option {option}, file {file:?}: {what}"))
}

fn read(option: &str, file: &str) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|e| invalid(option, file, io_text(&e)))
}

fn pem_text(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "it is not there (is the file PEM? is a key encrypted?)".into(),
        pem::Error::MissingSectionEnd { .. } => "the PEM has a beginning without an end".into(),
        pem::Error::Base64Decode(_) => "the PEM has something that is not base64".into(),
        other => format!("the PEM can't be read: {other}"),
    }
}

/// The certificates of a file, at least one.
fn certificates(option: &str, file: &str) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = read(option, file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(invalid(option, file, "there is no certificate in it (PEM)")),
        Ok(found) => Ok(found),
        Err(e) => Err(invalid(option, file, format_args!("no certificate: {}", pem_text(&e)))),
    }
}

impl Material {
    fn read(options: &Options, provider: &CryptoProvider) -> Result<Material> {
        let Texts { certificate_file, key_file, ca_files, min_tls_version, .. } = &options.texts;
        let only_tls13 = match &**min_tls_version {
            "" | "1.2" => false,
            "1.3" => true,
            other => {
                let text = format!("option min_tls_version is {other:?}: it takes 1.2 or 1.3");
                return Err(Error::new(Kind::InvalidArgument, text));
            }
        };
        let identity = match (&**certificate_file, &**key_file) {
            ("", "") => None,
            ("", _) => {
                let text = "option key_file needs certificate_file as well";
                return Err(Error::new(Kind::InvalidArgument, text));
            }
            (file, key_file) => {
                let chain = certificates("certificate_file", file)?;
                // Without a file of its own, the key is where the certificate is.
                let (option, key_file) = match key_file {
                    "" => ("certificate_file", file),
                    _ => ("key_file", key_file),
                };
                let key = PrivateKeyDer::from_pem_slice(&read(option, key_file)?).map_err(|e| {
                    invalid(option, key_file, format_args!("no private key: {}", pem_text(&e)))
                })?;
                CertifiedKey::from_der(chain.clone(), key.clone_key(), provider).map_err(|e| match e {
                    rustls::Error::InconsistentKeys(_) => {
                        invalid(option, key_file, format_args!("the key does not belong to {file:?}"))
                    }
                    e => invalid(option, key_file, e),
                })?;
                Some((chain, key))
            }
        };
        let mut authorities = Vec::new();
        for file in ca_files {
            for certificate in certificates("ca_files", file)? {
                RootCertStore::empty()
                    .add(certificate.clone())
                    .map_err(|_| invalid("ca_files", file, "a certificate in it can't be read"))?;
                authorities.push(certificate);
            }
        }
        Ok(Material { identity, authorities, only_tls13, insecure: options.insecure })
    }

    fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        static ONLY_TLS13: &[&SupportedProtocolVersion] = &[&TLS13];
        if self.only_tls13 { ONLY_TLS13 } else { ALL_VERSIONS }
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(Kind::Tls, error.to_string())
}

/// HTTP/1.1 is what the opening handshake speaks (RFC 7301, 6).
fn alpn() -> Vec<Vec<u8>> {
    vec![b"http/1.1".to_vec()]
}

/// The TLS of a connect whose options are good.
#[derive(Clone)]
pub(crate) struct Client {
    material: Arc<Material>,
    /// `server_name`
    name: Option<ServerName<'static>>,
}

impl Client {
    /// Reads the files that the options name.
    pub(crate) fn new(options: &Options, address: &Address) -> Result<Client> {
        let material = Arc::new(Material::read(options, &ring::default_provider())?);
        let name = match &*options.texts.server_name {
            "" => None,
            name => Some(server_name(name).ok_or_else(|| {
                let text = format!("option server_name is {name:?}: that is no name of a host");
                Error::new(Kind::InvalidArgument, text)
            })?),
        };
        let client = Client { material, name };
        if address.secure {
            client.name(&address.host).map_err(|e| e.within(format_args!("connect to {}", address.shown)))?;
        }
        Ok(client)
    }

    /// The name that the server's certificate must have. `host` is a name, or an IP address
    /// without brackets.
    pub(super) fn name(&self, host: &str) -> Result<ServerName<'static>> {
        self.name
            .clone()
            .or_else(|| server_name(host))
            .ok_or_else(|| Error::new(Kind::InvalidAddress, format!("TLS can't ask for the name {host:?}")))
    }

    /// For a redirect to another origin: our certificate and the name were for the first one.
    pub(crate) fn leave_origin(&mut self) {
        self.name = None;
        let Material { authorities, only_tls13, insecure, .. } = &*self.material;
        let (authorities, only_tls13, insecure) = (authorities.clone(), *only_tls13, *insecure);
        self.material = Arc::new(Material { identity: None, authorities, only_tls13, insecure });
    }

    #[cfg(test)]
    pub(super) fn has_identity(&self) -> bool {
        self.material.identity.is_some()
    }

    /// A session with the server of this host. To be called on the runtime's thread.
    pub(crate) async fn session(&self, host: &str, process: &'static Process) -> Result<Tls> {
        let shared = &process.tls;
        if self.material.insecure {
            shared.warn().await;
        }
        let config = match shared.recent(&self.material) {
            Some(config) => config,
            None => {
                let config = Arc::new(self.config(shared).await?);
                shared.keep(self.material.clone(), config.clone());
                config
            }
        };
        Tls::client(config, self.name(host)?)
    }

    async fn config(&self, shared: &Shared) -> Result<ClientConfig> {
        let Material { identity, authorities, insecure, .. } = &*self.material;
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(self.material.versions())
            .map_err(failed)?;
        let builder = if *insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
        } else {
            let mut roots = shared.roots().await?;
            if !authorities.is_empty() {
                let mut all = RootCertStore::clone(&roots);
                all.add_parsable_certificates(authorities.iter().cloned());
                roots = Arc::new(all);
            }
            if roots.is_empty() {
                let text = "this system has no certificates of authorities: install them \
                            (ca-certificates), or name some with ca_files";
                return Err(Error::new(Kind::Tls, text));
            }
            builder.with_root_certificates(roots)
        };
        let mut config = match identity {
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(failed)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn();
        Ok(config)
    }
}

fn server_name(text: &str) -> Option<ServerName<'static>> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ServerName::from(ip));
    }
    ServerName::try_from(text.to_string()).ok()
}

/// The TLS of a listener.
pub(crate) struct Server {
    config: RwLock<Arc<ServerConfig>>,
}

impl Server {
    /// Reads the files that the options name. None where there is no certificate: plain TCP.
    pub(crate) fn new(options: &Options) -> Result<Option<Server>> {
        let texts = &options.texts;
        if texts.certificate_file.is_empty() && texts.key_file.is_empty() {
            let unused = [
                ("ca_files", !texts.ca_files.is_empty()),
                ("min_tls_version", !texts.min_tls_version.is_empty()),
            ];
            return match unused.iter().find(|(_, set)| *set) {
                Some((name, _)) => {
                    let text = format!("option {name} needs certificate_file as well");
                    Err(Error::new(Kind::InvalidArgument, text))
                }
                None => Ok(None),
            };
        }
        Ok(Some(Server { config: RwLock::new(Server::config(options)?) }))
    }

    /// Reads the files again. On an error everything stays as it was.
    pub(crate) fn reload(&self, options: &Options) -> Result<()> {
        let config = Server::config(options)?;
        *self.config.write() = config;
        Ok(())
    }

    /// A session for the next client.
    pub(crate) fn session(&self) -> Result<Tls> {
        Tls::server(self.config.read().clone())
    }

    fn config(options: &Options) -> Result<Arc<ServerConfig>> {
        let provider = Arc::new(ring::default_provider());
        let material = Material::read(options, &provider)?;
        let versions = material.versions();
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(failed)?;
        let builder = if material.authorities.is_empty() {
            builder.with_no_client_auth()
        } else {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(material.authorities);
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(failed)?)
        };
        let (chain, key) = material.identity.ok_or(Kind::Internal)?;
        let mut config = builder.with_single_cert(chain, key).map_err(failed)?;
        config.alpn_protocols = alpn();
        Ok(Arc::new(config))
    }
}

/// Accepts every certificate: what the option `insecure` asks for.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
