//! Whom an `https://` server must convince: the public roots built in, the operator's own, and a clock that is never
//! before the day this binary was built.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, NamedGroup, OtherError, RootCertStore,
    SignatureScheme,
};

use super::pin::{Pin, WrongPin};
use super::{Config, date};

/// Seconds since 1970 when this binary was built (`build.rs`).
pub(super) fn build_epoch() -> u64 {
    // `build.rs` writes a decimal number; anything else would only cost the floor.
    env!("BOOTJACK_BUILD_EPOCH").parse().unwrap_or(0)
}

/// Reads the CA files once; the result is cloned for every try.
pub(super) fn config(config: &Config) -> anyhow::Result<ClientConfig> {
    let mut made = client(roots(config)?, Arc::new(Floored { clock: date::now, floor: build_epoch() }))?;
    if config.unverified_tls {
        made = without_authorities(made, None);
    }
    Ok(made)
}

/// Believes whoever has one of these keys, and nobody else.
pub(super) fn pinned(config: ClientConfig, pins: &[Pin]) -> ClientConfig {
    without_authorities(config, Some(pins.to_vec()))
}

fn without_authorities(mut config: ClientConfig, pins: Option<Vec<Pin>>) -> ClientConfig {
    let provider = config.crypto_provider().clone();
    config.dangerous().set_certificate_verifier(Arc::new(ByKey { provider, pins }));
    config
}

/// Asks no authority: believes who has a pinned key, which the handshake proves, or whoever answers, as `rd.noverifyssl`
/// asks: then it is encrypted, but nobody knows with whom.
#[derive(Debug)]
struct ByKey {
    provider: Arc<CryptoProvider>,
    pins: Option<Vec<Pin>>,
}

impl ServerCertVerifier for ByKey {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(wanted) = &self.pins {
            let got = Pin::of(certificate)?;
            if !wanted.contains(&got) {
                let wrong = Arc::new(WrongPin { wanted: wanted.clone(), got });
                return Err(CertificateError::Other(OtherError(wrong)).into());
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn client(roots: RootCertStore, clock: Arc<dyn TimeProvider>) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_details(provider, clock)
        .with_safe_default_protocol_versions()
        .context("setting up TLS")?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn roots(config: &Config) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if !config.ca_only {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    config.ca.iter().try_for_each(|file| {
        add(&mut roots, file)
            .with_context(|| format!("reading the certificate authorities in {}", file.display()))
    })?;
    Ok(roots)
}

fn add(roots: &mut RootCertStore, file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read(file)?;
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        count += 1;
        roots.add(certificate?).with_context(|| format!("certificate {count}"))?;
    }
    if count == 0 {
        bail!("no PEM certificate in it");
    }
    Ok(())
}

/// The system's clock, or the day of the build where that is later: a machine whose battery died still checks
/// certificates against a day that can be.
#[derive(Debug)]
struct Floored {
    clock: fn() -> u64,
    floor: u64,
}

impl TimeProvider for Floored {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = (self.clock)().max(self.floor);
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

/// A TLS error in words: whether it was the name (which rustls says well), the issuer, the time or the pin.
pub(super) fn explain(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(wrong) = error else { return error.to_string() };
    match wrong {
        CertificateError::NotValidYetContext { time, not_before } => {
            at_the_wrong_time(*time, *not_before, "not valid before")
        }
        CertificateError::ExpiredContext { time, not_after } => {
            at_the_wrong_time(*time, *not_after, "not valid after")
        }
        CertificateError::UnknownIssuer => format!(
            "{error}: no authority known here has issued it: name its own with --ca, bootjack.ca= or bootjack initrd --ca, \
             or pin its key"
        ),
        CertificateError::Other(OtherError(why)) => why.to_string(),
        _ => error.to_string(),
    }
}

/// Both dates, and where the clock's comes from.
fn at_the_wrong_time(time: UnixTime, end: UnixTime, which: &str) -> String {
    let system = date::now();
    let told = if system < time.as_secs() {
        format!("; this machine's clock says {} and is not believed", date::readable(system))
    } else {
        String::new()
    };
    format!(
        "the server's certificate is {which} {}, and it is {}{told}",
        date::readable(end.as_secs()),
        date::readable(time.as_secs())
    )
}

/// No session is ever resumed; rustls asks the store first thing in a handshake, which tells that TCP stands.
pub(super) fn telling(begun: impl Fn() + Send + Sync + 'static) -> Resumption {
    Resumption::store(Arc::new(Telling(Box::new(begun))))
}

struct Telling(Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Telling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Telling")
    }
}

impl ClientSessionStore for Telling {
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        (self.0)();
        None
    }
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, Issuer, KeyPair};
    use rustls::{ClientConnection, ServerConfig, ServerConnection};

    /// A handshake in memory with a server whose certificate is valid for a year after the build.
    fn handshake(clock: fn() -> u64) -> Result<(), rustls::Error> {
        let day = |offset: i64| {
            let (year, month, day) = {
                let text = date::readable(build_epoch().saturating_add_signed(offset * 86_400));
                let part = |range| text.get::<std::ops::Range<usize>>(range).unwrap().parse::<i32>().unwrap();
                (part(0..4), part(5..7) as u8, part(8..10) as u8)
            };
            rcgen::date_time_ymd(year, month, day)
        };
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(vec![]).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        ca.not_before = day(-365);
        ca.not_after = day(365);
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["boot.lab".into()]).unwrap();
        params.not_before = day(-1);
        params.not_after = day(365);
        let certificate = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();

        let mut roots = RootCertStore::empty();
        roots.add(ca_certificate.der().clone()).unwrap();
        let config = client(roots, Arc::new(Floored { clock, floor: build_epoch() })).unwrap();
        let server_config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![certificate.der().clone()],
                    rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
                )
                .unwrap();
        let mut client =
            ClientConnection::new(Arc::new(config), ServerName::try_from("boot.lab").unwrap()).unwrap();
        let mut server = ServerConnection::new(Arc::new(server_config)).unwrap();
        while client.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut &wire[..]).unwrap();
            server.process_new_packets().unwrap();
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut &wire[..]).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn a_clock_before_the_build_is_not_believed() {
        assert_eq!(handshake(|| 0), Ok(()));
    }

    #[test]
    fn a_clock_after_the_build_is_believed_and_named() {
        let error = handshake(|| build_epoch() + 10 * 365 * 86_400).unwrap_err();
        let text = explain(&error);
        assert!(text.starts_with("the server's certificate is not valid after 20"), "{text}");
        assert!(text.contains(", and it is 20"), "{text}");
        assert!(text.ends_with("and is not believed"), "the test's clock is ahead of the system's: {text}");
    }

    #[test]
    fn the_public_roots_are_there_unless_only_the_operators_count() {
        let count = |ca_only| roots(&Config { ca_only, ..Config::default() }).unwrap().len();
        assert!(count(false) > 50);
        assert_eq!(count(true), 0);
    }

    #[test]
    fn a_ca_file_without_certificates_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("empty.pem");
        std::fs::write(&file, "nothing here\n").unwrap();
        let error = roots(&Config { ca: vec![file], ..Config::default() }).unwrap_err();
        assert!(format!("{error:#}").ends_with("empty.pem: no PEM certificate in it"), "{error:#}");
        assert!(roots(&Config { ca: vec!["/none.pem".into()], ..Config::default() }).is_err());
    }
}
