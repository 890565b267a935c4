//! Subjects with several organisations.
//!
//! The issuing library keeps one value for each type of attribute in a name, while a Kubernetes
//! client certificate has one organisation for each group. So the organisations are put into the
//! finished certificate's subject, and it is signed again (RFC 5280, section 4.1).

use rcgen::{Error, SigningKey};
use yasna::models::ObjectIdentifier;
use yasna::{ASN1Result, BERReader, BERReaderSeq, DERWriterSeq};

/// Where the subject stands in a certificate's signed part, behind version, serial number,
/// algorithm, issuer and validity.
const SUBJECT: usize = 5;

/// id-at-organizationName.
const ORGANIZATION: [u64; 4] = [2, 5, 4, 10];

/// A version 3 certificate like `certificate` (DER), with these organisations behind what its subject
/// holds already, in order, signed by `key`: the key that signed the original.
pub(super) fn extend(
    certificate: &[u8],
    organizations: &[&str],
    key: &impl SigningKey,
) -> Result<Vec<u8>, Error> {
    let parsed = yasna::parse_der(certificate, |reader| {
        reader.read_sequence(|fields| {
            let signed = parts(fields.next())?;
            let algorithm = fields.next().read_der()?;
            fields.next().read_bitvec_bytes()?;
            Ok((signed, algorithm))
        })
    });
    let (mut signed, algorithm) = parsed.map_err(unreadable)?;
    let Some(subject) = signed.get_mut(SUBJECT) else {
        return Err(Error::CouldNotParseCertificate);
    };
    let present = yasna::parse_der(subject, parts).map_err(unreadable)?;
    *subject = sequence(|names| {
        for name in &present {
            names.next().write_der(name);
        }
        for organization in organizations {
            // A set of its own for each: values of one set would lose their order.
            names.next().write_set(|set| {
                set.next().write_sequence(|attribute| {
                    let kind = ObjectIdentifier::from_slice(&ORGANIZATION);
                    attribute.next().write_oid(&kind);
                    attribute.next().write_utf8_string(organization);
                });
            });
        }
    });
    let signed = sequence(|fields| {
        for part in &signed {
            fields.next().write_der(part);
        }
    });
    let signature = key.sign(&signed)?;
    Ok(sequence(|fields| {
        fields.next().write_der(&signed);
        fields.next().write_der(&algorithm);
        fields
            .next()
            .write_bitvec_bytes(&signature, signature.len() * 8);
    }))
}

/// The elements of a sequence, each with its tag and length.
fn parts(reader: BERReader<'_, '_>) -> ASN1Result<Vec<Vec<u8>>> {
    reader.read_sequence(|fields: &mut BERReaderSeq<'_, '_>| {
        let mut parts = Vec::new();
        while let Some(part) = fields.read_optional(|field| field.read_der())? {
            parts.push(part);
        }
        Ok(parts)
    })
}

fn sequence(write: impl FnOnce(&mut DERWriterSeq<'_>)) -> Vec<u8> {
    yasna::construct_der(|writer| writer.write_sequence(write))
}

fn unreadable(_what: yasna::ASN1Error) -> Error {
    Error::CouldNotParseCertificate
}
