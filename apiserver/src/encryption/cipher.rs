//! The ciphers that values are sealed with, in upstream's layouts: what one server sealed the other one opens.
//!
//! | cipher | layout |
//! |---|---|
//! | AES-GCM | nonce of 12 bytes, text, tag of 16 bytes; bound to the key of the value |
//! | AES-CBC | iv of 16 bytes, padded text |
//! | secretbox | nonce of 24 bytes, tag of 16 bytes, text |
//! | extended GCM | info of 32 bytes, from which with a seed a key is derived, then AES-GCM |

use aes::cipher::{
    BlockDecryptMut, BlockEncryptMut, KeyIvInit, block_padding::NoPadding, block_padding::Pkcs7,
};
use aes::{Aes128, Aes192, Aes256};
use aes_gcm::aead::consts::U12;
use aes_gcm::{AeadInPlace, AesGcm, KeyInit};
use crypto_secretbox::XSalsa20Poly1305;
use ring::hkdf::{HKDF_SHA256, KeyType, Prk};
use stdx::Ids;

const GCM_NONCE: usize = 12;
const TAG: usize = 16;
const BLOCK: usize = 16;
const BOX_NONCE: usize = 24;
/// Bytes of the seed of an extended GCM, of its info, and of the key that comes of both.
pub const SEED: usize = 32;

const TOO_SHORT: &str = "the stored data was shorter than the required size";
const NOT_AUTHENTIC: &str = "cipher: message authentication failed";

/// Seals and opens. `about` is what the text is bound to: the key of the value.
pub trait Cipher: Send + Sync {
    fn seal(&self, plain: &[u8], about: &[u8], ids: &Ids) -> Result<Vec<u8>, String>;
    /// An error text in upstream's words.
    fn open(&self, sealed: &[u8], about: &[u8]) -> Result<Vec<u8>, String>;
}

/// AES-GCM with a key of 16, 24 or 32 bytes.
pub fn gcm(key: &[u8]) -> Option<Box<dyn Cipher>> {
    match key.len() {
        16 => Some(Box::new(Gcm(AesGcm::<Aes128, U12>::new_from_slice(key).ok()?))),
        24 => Some(Box::new(Gcm(AesGcm::<Aes192, U12>::new_from_slice(key).ok()?))),
        32 => Some(Box::new(Gcm(AesGcm::<Aes256, U12>::new_from_slice(key).ok()?))),
        _ => None,
    }
}

struct Gcm<B: aes::cipher::BlockCipher>(AesGcm<B, U12>);

impl<B: aes::cipher::BlockCipher> Cipher for Gcm<B>
where
    AesGcm<B, U12>: AeadInPlace + Send + Sync,
{
    fn seal(&self, plain: &[u8], about: &[u8], ids: &Ids) -> Result<Vec<u8>, String> {
        let mut out = vec![0; GCM_NONCE];
        ids.fill(&mut out);
        seal_behind(&self.0, plain, about, &mut out)?;
        Ok(out)
    }

    fn open(&self, sealed: &[u8], about: &[u8]) -> Result<Vec<u8>, String> {
        let (nonce, sealed) = sealed.split_at_checked(GCM_NONCE).ok_or(TOO_SHORT)?;
        let at = sealed.len().checked_sub(TAG).ok_or(NOT_AUTHENTIC)?;
        let (text, tag) = sealed.split_at(at);
        let mut text = text.to_vec();
        let opened = self.0.decrypt_in_place_detached(nonce.into(), about, &mut text, tag.into());
        opened.map(|()| text).map_err(|_| NOT_AUTHENTIC.to_owned())
    }
}

/// Appends text and tag to the nonce in `out`.
fn seal_behind<A: AeadInPlace>(
    aead: &A,
    plain: &[u8],
    about: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let nonce = out.clone();
    let at = out.len();
    out.extend_from_slice(plain);
    let text = out.get_mut(at..).unwrap_or_default();
    let tag = aead.encrypt_in_place_detached(nonce.as_slice().into(), about, text);
    out.extend_from_slice(&tag.map_err(|_| "the value is too large to be sealed")?);
    Ok(())
}

/// AES-CBC with a key of 16, 24 or 32 bytes.
pub fn cbc(key: &[u8]) -> Option<Box<dyn Cipher>> {
    matches!(key.len(), 16 | 24 | 32).then(|| Box::new(Cbc(key.to_vec())) as Box<dyn Cipher>)
}

struct Cbc(Vec<u8>);

impl Cipher for Cbc {
    fn seal(&self, plain: &[u8], _: &[u8], ids: &Ids) -> Result<Vec<u8>, String> {
        let mut out = vec![0; BLOCK + plain.len() + BLOCK - plain.len() % BLOCK];
        let (iv, text) = out.split_at_mut(BLOCK);
        ids.fill(iv);
        text.get_mut(..plain.len()).unwrap_or_default().copy_from_slice(plain);
        let (key, len) = (self.0.as_slice(), plain.len());
        let sealed = match key.len() {
            16 => encrypt::<cbc::Encryptor<Aes128>>(key, iv, text, len),
            24 => encrypt::<cbc::Encryptor<Aes192>>(key, iv, text, len),
            _ => encrypt::<cbc::Encryptor<Aes256>>(key, iv, text, len),
        };
        sealed.map(|()| out).ok_or_else(|| "the value cannot be sealed".to_owned())
    }

    fn open(&self, sealed: &[u8], _: &[u8]) -> Result<Vec<u8>, String> {
        let (iv, text) = sealed.split_at_checked(BLOCK).ok_or(TOO_SHORT)?;
        if text.len() % BLOCK != 0 {
            return Err("the stored data is not a multiple of the block size".to_owned());
        }
        let (key, mut text) = (self.0.as_slice(), text.to_vec());
        let opened = match key.len() {
            16 => decrypt::<cbc::Decryptor<Aes128>>(key, iv, &mut text),
            24 => decrypt::<cbc::Decryptor<Aes192>>(key, iv, &mut text),
            _ => decrypt::<cbc::Decryptor<Aes256>>(key, iv, &mut text),
        };
        opened.ok_or(TOO_SHORT)?;
        unpad(text)
    }
}

fn encrypt<E: KeyIvInit + BlockEncryptMut>(key: &[u8], iv: &[u8], text: &mut [u8], len: usize) -> Option<()> {
    E::new_from_slices(key, iv).ok()?.encrypt_padded_mut::<Pkcs7>(text, len).ok().map(|_| ())
}

fn decrypt<D: KeyIvInit + BlockDecryptMut>(key: &[u8], iv: &[u8], text: &mut [u8]) -> Option<()> {
    D::new_from_slices(key, iv).ok()?.decrypt_padded_mut::<NoPadding>(text).ok().map(|_| ())
}

/// Takes the padding away: as many bytes as the last one says, all alike.
fn unpad(mut text: Vec<u8>) -> Result<Vec<u8>, String> {
    let last = text.last().copied().unwrap_or(0);
    let size = text.len().checked_sub(usize::from(last)).filter(|_| last > 0);
    let size = size.ok_or("invalid PKCS7 data (empty or not padded)")?;
    if text.iter().skip(size).any(|byte| *byte != last) {
        return Err("invalid padding on input".to_owned());
    }
    text.truncate(size);
    Ok(text)
}

/// XSalsa20 and Poly1305 with a key of 32 bytes.
pub fn secretbox(key: &[u8]) -> Option<Box<dyn Cipher>> {
    Some(Box::new(Secretbox(XSalsa20Poly1305::new_from_slice(key).ok()?)))
}

struct Secretbox(XSalsa20Poly1305);

impl Cipher for Secretbox {
    fn seal(&self, plain: &[u8], _: &[u8], ids: &Ids) -> Result<Vec<u8>, String> {
        let mut nonce = [0; BOX_NONCE];
        ids.fill(&mut nonce);
        let mut text = plain.to_vec();
        let tag = self.0.encrypt_in_place_detached(nonce.as_slice().into(), b"", &mut text);
        let tag = tag.map_err(|_| "the value is too large to be sealed")?;
        Ok([&nonce, tag.as_slice(), &text].concat())
    }

    fn open(&self, sealed: &[u8], _: &[u8]) -> Result<Vec<u8>, String> {
        let (nonce, rest) = sealed.split_at_checked(BOX_NONCE).ok_or(TOO_SHORT)?;
        let (tag, text) = rest.split_at_checked(TAG).ok_or(TOO_SHORT)?;
        let mut text = text.to_vec();
        let opened = self.0.decrypt_in_place_detached(nonce.into(), b"", &mut text, tag.into());
        // Upstream's words for a wrong key.
        opened.map(|()| text).map_err(|_| "output array was not large enough for encryption".to_owned())
    }
}

/// AES-GCM with a key of its own for each value, derived from a seed of 32 bytes or more.
pub fn extended_gcm(seed: &[u8]) -> Result<Box<dyn Cipher>, String> {
    if seed.len() < SEED {
        return Err(format!("invalid seed length {} used for key generation", seed.len()));
    }
    Ok(Box::new(ExtendedGcm(Prk::new_less_safe(HKDF_SHA256, seed))))
}

struct ExtendedGcm(Prk);

/// The length that is asked of the derivation.
struct KeyBytes;

impl KeyType for KeyBytes {
    fn len(&self) -> usize {
        SEED
    }
}

impl ExtendedGcm {
    fn derived(&self, info: &[u8]) -> Result<AesGcm<Aes256, U12>, String> {
        let mut key = [0; SEED];
        let derived = self.0.expand(&[info], KeyBytes).and_then(|okm| okm.fill(&mut key));
        derived.map_err(|_| "failed to derive a key from the KDF")?;
        Ok(AesGcm::new(&key.into()))
    }
}

impl Cipher for ExtendedGcm {
    fn seal(&self, plain: &[u8], about: &[u8], ids: &Ids) -> Result<Vec<u8>, String> {
        let mut info = vec![0; SEED];
        ids.fill(&mut info);
        let sealed = Gcm(self.derived(&info)?).seal(plain, about, ids)?;
        info.extend_from_slice(&sealed);
        Ok(info)
    }

    fn open(&self, sealed: &[u8], about: &[u8]) -> Result<Vec<u8>, String> {
        let (info, sealed) = sealed.split_at_checked(SEED).ok_or(TOO_SHORT)?;
        Gcm(self.derived(info)?).open(sealed, about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn what_is_sealed_opens_again_and_only_with_its_key() {
        type Make = fn(&[u8]) -> Option<Box<dyn Cipher>>;
        let makes: [(&str, Make, &[usize]); 4] = [
            ("gcm", gcm, &[16, 24, 32]),
            ("cbc", cbc, &[16, 24, 32]),
            ("secretbox", secretbox, &[32]),
            ("extended", |seed| extended_gcm(seed).ok(), &[32, 40]),
        ];
        let ids = Ids::seeded(1);
        for (name, make, sizes) in makes {
            for size in sizes {
                let (one, other) = (make(&vec![1; *size]).unwrap(), make(&vec![2; *size]).unwrap());
                for len in [0, 1, 15, 16, 17, 1000] {
                    let plain = vec![7; len];
                    let sealed = one.seal(&plain, b"/registry/secrets/a/b", &ids).unwrap();
                    assert_ne!(sealed, one.seal(&plain, b"/registry/secrets/a/b", &ids).unwrap());
                    assert_eq!(one.open(&sealed, b"/registry/secrets/a/b").as_ref(), Ok(&plain), "{name}");
                    assert_ne!(other.open(&sealed, b"/registry/secrets/a/b").as_ref(), Ok(&plain), "{name}");
                    for cut in 0..sealed.len().min(60) {
                        assert_ne!(
                            one.open(&sealed[..cut], b"/registry/secrets/a/b").as_ref(),
                            Ok(&vec![7; 2000])
                        );
                    }
                }
            }
            assert!(make(&[1; 17]).is_none(), "{name}");
        }
    }

    #[test]
    fn a_value_opens_under_its_own_key_alone() {
        for cipher in [gcm(&[1; 32]).unwrap(), extended_gcm(&[1; 32]).unwrap()] {
            let sealed = cipher.seal(b"x", b"/registry/secrets/a/b", &Ids::seeded(1)).unwrap();
            assert_eq!(cipher.open(&sealed, b"/registry/secrets/a/c").unwrap_err(), NOT_AUTHENTIC);
        }
    }

    /// Vectors of the ciphers' own publications.
    #[test]
    fn the_layouts_are_those_of_the_standards() {
        // NIST SP 800-38A, F.2.1, the first block, with a whole block of padding behind it.
        let cipher = cbc(&hex("2b7e151628aed2a6abf7158809cf4f3c")).unwrap();
        let sealed = hex(
            "000102030405060708090a0b0c0d0e0f7649abac8119b246cee98e9b12e9197d8964e0b149c10b7b682e6e39aaeb731c",
        );
        assert_eq!(cipher.open(&sealed, b"").unwrap(), hex("6bc1bee22e409f96e93d7e117393172a"));
        // The GCM specification, test case 14: a key and a text of zeros.
        let cipher = gcm(&[0; 32]).unwrap();
        let sealed =
            hex("000000000000000000000000cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
        assert_eq!(cipher.open(&sealed, b"").unwrap(), [0; 16]);
    }

    #[test]
    fn broken_padding_is_told_in_upstreams_words() {
        assert_eq!(unpad(vec![]).unwrap_err(), "invalid PKCS7 data (empty or not padded)");
        assert_eq!(unpad(vec![1, 0]).unwrap_err(), "invalid PKCS7 data (empty or not padded)");
        assert_eq!(unpad(vec![1, 9, 3, 3]).unwrap_err(), "invalid padding on input");
        assert_eq!(unpad(vec![5, 2, 2]).unwrap(), [5]);
    }
}
