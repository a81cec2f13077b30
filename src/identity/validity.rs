//! When a certificate ends: the one field of X.509 that rustls keeps to itself where it serves.
//!
//! Guarantees: any bytes are answered, by a time or by nothing. Never: judges anything else of a certificate.

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The last instant (ms since 1970) at which a certificate (X.509 in DER) is good; nothing if that is no certificate.
pub fn not_after(der: &[u8]) -> Option<i64> {
    let (certificate, _) = inside(der, SEQUENCE)?;
    let (mut fields, _) = inside(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = inside(fields, VERSION)?.1;
    }
    for serial_algorithm_issuer in [INTEGER, SEQUENCE, SEQUENCE] {
        fields = inside(fields, serial_algorithm_issuer)?.1;
    }
    let (_, _, end) = element(inside(fields, SEQUENCE)?.0)?;
    let (kind, text, _) = element(end)?;
    time(kind, std::str::from_utf8(text).ok()?)
}

/// What is in the first element, if it is of this kind, and what follows it.
fn inside(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    element(bytes).filter(|e| e.0 == wanted).map(|(_, content, rest)| (content, rest))
}

/// Kind and content of the first element, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|d| matches!(d.0.len(), 1..=4))?;
        length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((kind, content, rest))
}

/// RFC 5280, 4.1.2.5: both end in seconds and `Z`; two digits of a year from 50 on are of the last century.
fn time(kind: u8, text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z').filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?;
    let whole = match (kind, text.len()) {
        (UTC_TIME, 12) => format!("{}{text}", if text < "50" { "20" } else { "19" }),
        (GENERALIZED_TIME, 14) => text.to_string(),
        _ => return None,
    };
    let part = |from: usize| whole[from..from + 2].parse::<i8>().ok();
    let (month, day, hour, minute, second) = (part(4)?, part(6)?, part(8)?, part(10)?, part(12)?);
    let civil = jiff::civil::DateTime::new(whole[..4].parse().ok()?, month, day, hour, minute, second, 0).ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};

    fn end(pem: &str) -> Option<String> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
        not_after(&der).map(|ms| jiff::Timestamp::from_millisecond(ms).expect("a time").to_string())
    }

    // what `openssl x509 -noout -enddate` says of them
    #[test]
    fn a_certificate_says_when_it_ends() {
        assert_eq!(end(include_str!("../../tests/fixtures/tls/first.pem")).as_deref(), Some("2126-10-30T19:17:16Z"));
        assert_eq!(end(include_str!("../../tests/fixtures/tls/expired.pem")).as_deref(), Some("2020-02-01T00:00:00Z"));
    }

    #[test]
    fn what_is_cut_off_or_no_certificate_says_nothing() {
        let der = CertificateDer::from_pem_slice(include_bytes!("../../tests/fixtures/tls/first.pem")).expect("PEM");
        assert!((0..der.len()).all(|n| not_after(&der[..n]).is_none()));
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(
            [time(UTC_TIME, "500101000000Z"), time(UTC_TIME, "2001010000Z"), time(UTC_TIME, "201301000000Z")],
            [Some(-631_152_000_000), None, None]
        );
    }
}
