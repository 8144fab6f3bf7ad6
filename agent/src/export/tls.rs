//! The files that an endpoint names become a TLS configuration: TLS 1.2 and 1.3 with ring, and always with verification.
//!
//! Trust is the machine's own store (`SSL_CERT_FILE` and `SSL_CERT_DIR` are obeyed), so that a private authority that was installed there
//! just works; `OTEL_EXPORTER_OTLP_CERTIFICATE` replaces it. There is no switch that turns verification off.
use super::config::Endpoint;
use super::transport::TransportError;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// The client's side of TLS for `endpoint`.
pub(super) fn client_config(endpoint: &Endpoint) -> Result<ClientConfig, TransportError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &endpoint.certificate {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| TransportError::Pem { path: path.clone(), why: error.to_string() })?;
        }
    } else {
        // Single files of the store that cannot be read are no reason to fail as long as something is left.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(TransportError::NoRoots);
        }
    }
    let wrong = |error: rustls::Error| TransportError::Tls(error.to_string());
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_root_certificates(roots);
    match &endpoint.client {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let secret =
                PrivateKeyDer::from_pem_file(key).map_err(|error| TransportError::Pem { path: key.clone(), why: error.to_string() })?;
            builder.with_client_auth_cert(certificates(certificate)?, secret).map_err(wrong)
        }
    }
}

/// All certificates of a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let wrong = |why: String| TransportError::Pem { path: path.to_owned(), why };
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?.collect();
    let all = all.map_err(|error| wrong(error.to_string()))?;
    if all.is_empty() { Err(wrong("no certificate in it".to_owned())) } else { Ok(all) }
}
