//! A manifest in the form of SPDX 2.3, which other programs read (ISO/IEC 5962).

use super::Manifest;
use crate::clock;
use anyhow::Context as _;
use serde_json::{Value, json};

/// The document as JSON.
pub(super) fn render(manifest: &Manifest) -> anyhow::Result<String> {
    let image = &manifest.image;
    let packages: Vec<Value> = manifest
        .packages
        .iter()
        .enumerate()
        .map(|(number, package)| {
            let purl = format!(
                "pkg:deb/debian/{}@{}?arch={}&distro={}",
                package.name,
                package.version.replace(':', "%3A").replace('+', "%2B"),
                package.architecture,
                manifest.debian.suite
            );
            json!({
                "SPDXID": format!("SPDXRef-Package-{number}"),
                "name": package.name,
                "versionInfo": package.version,
                "downloadLocation": "NOASSERTION",
                "filesAnalyzed": false,
                "checksums": [{ "algorithm": "SHA256", "checksumValue": package.sha256 }],
                "externalRefs": [{
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": purl,
                }],
            })
        })
        .collect();
    let described: Vec<Value> = (0..packages.len())
        .map(|number| {
            json!({
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": format!("SPDXRef-Package-{number}"),
            })
        })
        .collect();
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("brant-{}-{}", image.profile, image.version),
        "documentNamespace": format!("urn:brant:image:{}", image.image_id),
        "creationInfo": {
            "created": clock::utc(manifest.debian.date),
            "creators": [format!("Tool: brant-image-{}", image.version)],
        },
        "packages": packages,
        "relationships": described,
    });
    serde_json::to_string_pretty(&document).context("writing the SPDX document")
}
