//! Tokens: 128 random bits that open a server's door. They live in files for their owner alone and travel only
//! inside an encrypted channel or over a Unix socket; they are never printed, logged or taken from arguments.

use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

use super::private;
use crate::error::{Error, Kind, Result};

const WORD: &str = "token=";

/// A secret of 128 bits. It has no `Display`, and its `Debug` says nothing.
#[derive(Clone)]
pub struct Token([u8; 16]);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// A new random token.
    pub fn random() -> Result<Token> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|e| Error::new(Kind::System, format!("no random numbers: {e}")))?;
        Ok(Token(bytes))
    }

    /// From 32 hexadecimal digits. The error does not repeat the text.
    pub fn parse(text: &str) -> Result<Token> {
        let mut bytes = [0; 16];
        let text = text.trim();
        if text.len() != 32 || faster_hex::hex_decode(text.as_bytes(), &mut bytes).is_err() {
            return Err(Error::new(Kind::Format, "a token is 32 hexadecimal digits"));
        }
        Ok(Token(bytes))
    }

    /// The bytes to present inside an encrypted channel.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn text(&self) -> String {
        faster_hex::hex_string(&self.0)
    }

    /// `token=HEX`: the word of the hello that presents it.
    pub fn word(&self) -> String {
        format!("{WORD}{}", self.text())
    }

    /// The token that the words of a hello present, if they do.
    pub fn presented(words: &str) -> Option<Result<Token>> {
        words.split_ascii_whitespace().find_map(|word| word.strip_prefix(WORD)).map(Token::parse)
    }
}

/// One token a server accepts, and what it opens.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The secret.
    pub token: Token,
    /// Names of permissions (`read,write`), or `None` for all that the server allows.
    pub permissions: Option<Vec<String>>,
    /// Who it is for, in the audit log.
    pub label: String,
}

/// The tokens of a server.
#[derive(Debug, Clone, Default)]
pub struct Keyring(Vec<Grant>);

impl Keyring {
    /// Reads the file at `path`: a line per token, `TOKEN [PERMISSIONS [LABEL]]`, `#` begins a comment. When there is
    /// no file, one is made with a single new token.
    pub fn load_or_create(path: &Path) -> Result<Keyring> {
        if !path.exists() {
            private::create(path, format!("{}\n", Token::random()?.text()).as_bytes())?;
        }
        let mut grants = Vec::new();
        for (index, line) in private::read(path)?.lines().enumerate() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(token) = words.next() else { continue };
            let token = Token::parse(token).map_err(|e| e.context(format_args!("{}:{}", path.display(), index + 1)))?;
            let permissions =
                words.next().filter(|word| *word != "*").map(|names| names.split(',').map(str::to_string).collect());
            let label = words.next().map_or_else(|| format!("token {}", grants.len() + 1), str::to_string);
            grants.push(Grant { token, permissions, label });
        }
        if grants.is_empty() {
            return Err(Error::new(Kind::Format, format!("no token in '{}'", path.display()))
                .hint("remove the file to get a new one"));
        }
        Ok(Keyring(grants))
    }

    /// Every grant.
    pub fn grants(&self) -> &[Grant] {
        &self.0
    }

    /// The grant that `presented` opens. Every token is compared in full, in constant time, so that the answer's
    /// delay tells nothing.
    pub fn open(&self, presented: &[u8]) -> Option<&Grant> {
        let mut found = None;
        for grant in &self.0 {
            if bool::from(grant.token.0.as_slice().ct_eq(presented)) {
                found = Some(grant);
            }
        }
        found
    }
}

/// The file of a server's own tokens: also where a client on the same account finds the token.
pub fn default_file() -> Result<PathBuf> {
    Ok(private::state_directory()?.join("token"))
}

/// The token that a client presents: from `file`, or from `REMORA_TOKEN`, or, for a peer that is known to be `own`,
/// from this account's own file.
pub fn client_token(file: Option<&Path>, own: bool) -> Result<Option<Token>> {
    let first = |path: &Path| -> Result<Option<Token>> {
        let text = private::read(path)?;
        let word = text.lines().find_map(|line| line.split('#').next()?.split_whitespace().next().map(str::to_string));
        word.map(|word| Token::parse(&word).map_err(|e| e.context(path.display()))).transpose()
    };
    if let Some(path) = file {
        return first(path);
    }
    if let Ok(text) = std::env::var("REMORA_TOKEN") {
        return Token::parse(&text).map(Some).map_err(|e| e.context("REMORA_TOKEN"));
    }
    match default_file() {
        Ok(path) if own && path.exists() => first(&path),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_keyring_is_made_once_and_opens_with_its_token_only() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join("deep/token");
        let ring = Keyring::load_or_create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let token = client_token(Some(&path), false).unwrap().unwrap();
        assert!(ring.open(token.as_bytes()).is_some());
        assert!(Keyring::load_or_create(&path).unwrap().open(token.as_bytes()).is_some());
        assert!(ring.open(&[0; 16]).is_none());
        assert!(ring.open(&token.as_bytes()[..15]).is_none());
        assert!(ring.open(b"").is_none());
    }

    #[test]
    fn lines_carry_permissions_and_labels() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join("token");
        private::create(
            &path,
            b"# ours\n00112233445566778899aabbccddeeff read,write alice\nffeeddccbbaa99887766554433221100\n",
        )
        .unwrap();
        let ring = Keyring::load_or_create(&path).unwrap();
        let alice = ring.open(Token::parse("00112233445566778899aabbccddeeff").unwrap().as_bytes()).unwrap();
        assert_eq!((alice.label.as_str(), alice.permissions.as_ref().unwrap().len()), ("alice", 2));
        let other = ring.open(Token::parse("ffeeddccbbaa99887766554433221100").unwrap().as_bytes()).unwrap();
        assert!(other.permissions.is_none());
    }

    #[test]
    fn secrets_that_others_can_read_are_refused_and_never_shown() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join("token");
        std::fs::write(&path, "00112233445566778899aabbccddeeff\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = Keyring::load_or_create(&path).unwrap_err();
        assert_eq!(refused.kind(), Kind::Permission);
        assert!(!format!("{:?}", Token::random().unwrap()).chars().any(|c| c.is_ascii_digit()));
        let token = Token::random().unwrap();
        let again = Token::presented(&format!("2 {} zstd", token.word())).unwrap().unwrap();
        assert_eq!(again.as_bytes(), token.as_bytes());
        assert!(Token::presented("2 tok").is_none() && Token::presented("2 token=1").unwrap().is_err());
        let bad = Token::parse("secret").unwrap_err();
        assert!(!bad.to_string().contains("secret"));
    }
}
