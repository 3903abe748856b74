//! Hashing passwords: at most so many at once, off the runtime's threads, and with a bounded queue.
//! Argon2id is what is written; bcrypt hashes of the predecessor are read.

use std::{sync::Arc, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{self, PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use chat_kit::config::Secret;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{config::Passwords, error::Error};

/// Memory of one hash in KiB, passes over it and lanes: the recommendation of OWASP for argon2id.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// A hash with these parameters that no password has. Verified where there is none to verify.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA\
                       $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// bcrypt looks at no byte from this one on. A password of that length may be the beginning of the
/// right one.
const BCRYPT_CUT: usize = 72;
/// The versions of bcrypt that are read.
const BCRYPT_VERSIONS: [&str; 3] = ["$2a$", "$2b$", "$2y$"];
/// Largest cost of a bcrypt hash that is read: two and a half seconds or so.
const LARGEST_BCRYPT_COST: u32 = 15;

/// A stored hash that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadHash {
    /// It is neither argon2 nor a version of bcrypt that is read.
    #[error("unknown kind of hash")]
    Unknown,
    /// Its cost would take too long.
    #[error("bcrypt cost {0} is too large")]
    TooCostly(u32),
    /// Argon2 refuses it.
    #[error("argon2: {0}")]
    Argon2(password_hash::Error),
    /// bcrypt refuses it.
    #[error("bcrypt: {0}")]
    Bcrypt(bcrypt::BcryptError),
}

/// What a password is.
#[derive(Debug, PartialEq, Eq)]
pub enum Checked {
    /// Not the right one.
    Wrong,
    /// The right one.
    Right {
        /// The hash to be stored instead of the one verified, where that is out of date.
        replacement: Option<String>,
    },
}

/// Where passwords are hashed.
#[derive(Clone)]
pub struct Hashing {
    /// Those that run and those that wait.
    places: Arc<Semaphore>,
    /// Those that run.
    turns: Arc<Semaphore>,
    wait: Duration,
}

/// A place among those that hash or wait to.
pub struct Place {
    permit: OwnedSemaphorePermit,
    turns: Arc<Semaphore>,
    wait: Duration,
}

impl Hashing {
    /// Takes its bounds from the configuration.
    pub fn new(config: &Passwords) -> Self {
        let turns = config.concurrency.get().min(Semaphore::MAX_PERMITS / 2);
        let places = turns + config.queue.min(Semaphore::MAX_PERMITS / 2);
        Self {
            places: Arc::new(Semaphore::new(places)),
            turns: Arc::new(Semaphore::new(turns)),
            wait: config.wait,
        }
    }

    /// Takes a place, if one is left.
    pub fn place(&self) -> Result<Place, Error> {
        let permit = Arc::clone(&self.places).try_acquire_owned();
        let permit = permit.map_err(|_| Error::Overloaded)?;
        Ok(Place { permit, turns: Arc::clone(&self.turns), wait: self.wait })
    }
}

impl Place {
    /// Hashes a password.
    pub async fn hash(self, password: Secret) -> Result<String, Error> {
        let hashed = self.run(move || hash(password.expose()));
        hashed.await?.map_err(Error::Hashing)
    }

    /// Checks a password against a stored hash. Without one it takes the same time.
    pub async fn check(
        self,
        password: Secret,
        stored: Option<String>,
    ) -> Result<Result<Checked, BadHash>, Error> {
        self.run(move || check(password.expose(), stored.as_deref())).await
    }

    /// Runs when it is its turn. Place and turn are kept until the work ends, also when nobody waits for
    /// it any more.
    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let Self { permit, turns, wait } = self;
        let turn = tokio::time::timeout(wait, turns.acquire_owned()).await;
        let turn = turn.map_err(|_| Error::Overloaded)?.map_err(|_| Error::Overloaded)?;
        let worked = tokio::task::spawn_blocking(move || {
            let worked = work();
            drop((turn, permit));
            worked
        });
        worked.await.map_err(Error::HashingPanicked)
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY, PASSES, LANES, None).expect("the parameters are valid");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &str) -> Result<String, password_hash::Error> {
    let hash: PasswordHash = argon2().hash_password(password.as_bytes())?;
    Ok(hash.to_string())
}

fn check(password: &str, stored: Option<&str>) -> Result<Checked, BadHash> {
    let Some(stored) = stored else {
        verify_argon2(password, NOBODYS)?;
        return Ok(Checked::Wrong);
    };
    let (is_right, is_outdated) = if stored.starts_with("$2") {
        // A hash of the whole password would shut its owner out if what he typed behind the cut is not
        // what he chose.
        (verify_bcrypt(password, stored)?, password.len() < BCRYPT_CUT)
    } else {
        verify_argon2(password, stored)?
    };
    if !is_right {
        return Ok(Checked::Wrong);
    }
    let replacement = is_outdated.then(|| hash(password)).transpose();
    Ok(Checked::Right { replacement: replacement.map_err(BadHash::Argon2)? })
}

fn verify_bcrypt(password: &str, stored: &str) -> Result<bool, BadHash> {
    let rest = BCRYPT_VERSIONS.iter().find_map(|version| stored.strip_prefix(version));
    let cost =
        rest.and_then(|rest| rest.split('$').next()?.parse().ok()).ok_or(BadHash::Unknown)?;
    if cost > LARGEST_BCRYPT_COST {
        return Err(BadHash::TooCostly(cost));
    }
    bcrypt::verify(password, stored).map_err(BadHash::Bcrypt)
}

/// Says whether a password is right, and whether its hash is weaker than those made today.
fn verify_argon2(password: &str, stored: &str) -> Result<(bool, bool), BadHash> {
    let parsed = PasswordHash::new(stored).map_err(|_| BadHash::Unknown)?;
    let is_right = match argon2().verify_password(password.as_bytes(), &parsed) {
        Ok(()) => true,
        Err(password_hash::Error::PasswordInvalid) => false,
        Err(error) => return Err(BadHash::Argon2(error)),
    };
    let params = Params::try_from(&parsed).map_err(BadHash::Argon2)?;
    let is_outdated = parsed.algorithm != Algorithm::Argon2id.ident()
        || parsed.version != Some(Version::V0x13.into())
        || params.m_cost() < MEMORY
        || params.t_cost() < PASSES;
    Ok((is_right, is_outdated))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `correct horse`, made by the predecessor's library with cost 4.
    const RIGHT: &str = "correct horse";

    fn right(password: &str, stored: &str) -> Option<String> {
        match check(password, Some(stored)).expect("a usable hash") {
            Checked::Right { replacement } => replacement,
            Checked::Wrong => panic!("refused with {stored}"),
        }
    }

    fn bcrypt_of(password: &str, version: bcrypt::Version) -> String {
        let hash = bcrypt::hash_with_salt(password, 4, *b"sixteen of bytes").expect("a hash");
        hash.format_for_version(version)
    }

    #[test]
    fn hash_of_today_is_argon2id_with_the_recommended_parameters() {
        let stored = hash(RIGHT).expect("a hash");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_ne!(stored, hash(RIGHT).expect("a hash"), "the salt is random");
        assert_eq!(right(RIGHT, &stored), None);
        let wrong = check("correct house", Some(&stored)).expect("a usable hash");
        assert_eq!(wrong, Checked::Wrong);
    }

    #[test]
    fn bcrypt_hash_of_every_version_is_replaced() {
        for version in [bcrypt::Version::TwoA, bcrypt::Version::TwoB, bcrypt::Version::TwoY] {
            let stored = bcrypt_of(RIGHT, version);
            let replacement = right(RIGHT, &stored).expect("a replacement");
            assert_eq!(right(RIGHT, &replacement), None);
            let wrong = check("correct house", Some(&stored)).expect("a usable hash");
            assert_eq!(wrong, Checked::Wrong, "{stored}");
        }
    }

    #[test]
    fn bcrypt_hash_of_a_password_at_the_cut_stays() {
        let long = "x".repeat(BCRYPT_CUT + 1);
        let stored = bcrypt_of(&long, bcrypt::Version::TwoB);
        assert_eq!(right(&long, &stored), None);
        // Its first 72 bytes are all that bcrypt knows of it.
        assert_eq!(right(&long[..BCRYPT_CUT], &stored), None);
        let short = &long[..BCRYPT_CUT - 1];
        assert_eq!(check(short, Some(&stored)).expect("a usable hash"), Checked::Wrong);
        let stored = bcrypt_of(short, bcrypt::Version::TwoB);
        assert!(right(short, &stored).is_some());
    }

    #[test]
    fn weaker_argon2_hash_is_replaced() {
        for (algorithm, version, params) in [
            (Algorithm::Argon2i, Version::V0x13, (MEMORY, PASSES)),
            (Algorithm::Argon2id, Version::V0x10, (MEMORY, PASSES)),
            (Algorithm::Argon2id, Version::V0x13, (MEMORY - 1, PASSES)),
            (Algorithm::Argon2id, Version::V0x13, (MEMORY, PASSES - 1)),
        ] {
            let params = Params::new(params.0, params.1, LANES, None).expect("parameters");
            let weaker = Argon2::new(algorithm, version, params);
            let stored: PasswordHash = weaker.hash_password(RIGHT.as_bytes()).expect("a hash");
            let stored = stored.to_string();
            let replacement = right(RIGHT, &stored).unwrap_or_else(|| panic!("kept {stored}"));
            assert_eq!(right(RIGHT, &replacement), None);
        }
    }

    #[test]
    fn nobody_has_the_password_of_nobody() {
        for password in ["", RIGHT] {
            assert_eq!(check(password, None).expect("a usable hash"), Checked::Wrong);
        }
    }

    #[test]
    fn hash_that_cannot_be_used_is_an_error() {
        let costly = bcrypt_of(RIGHT, bcrypt::Version::TwoB).replace("$04$", "$31$");
        for stored in ["", "plain", "$2x$04$abc", "$2b$04$abc", "$argon2id$x", costly.as_str()] {
            assert!(check(RIGHT, Some(stored)).is_err(), "{stored}");
        }
    }

    #[tokio::test]
    async fn work_beyond_running_and_waiting_is_refused_at_once() {
        let config = Passwords {
            concurrency: 1.try_into().expect("not zero"),
            queue: 1,
            wait: Duration::from_millis(10),
            ..Passwords::default()
        };
        let hashing = Hashing::new(&config);
        let (running, waiting) = (hashing.place().expect("free"), hashing.place().expect("free"));
        assert!(matches!(hashing.place(), Err(Error::Overloaded)));
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let (running_now, runs) = tokio::sync::oneshot::channel();
        let running = tokio::spawn(running.run(move || {
            running_now.send(()).ok();
            ended.recv()
        }));
        runs.await.expect("it runs");
        // Nobody waits for ever either.
        assert!(matches!(waiting.run(|| ()).await, Err(Error::Overloaded)));
        // The end of the caller does not free the place of work that still runs.
        running.abort();
        let waiting = hashing.place().expect("the one that waited has left");
        assert!(matches!(waiting.run(|| ()).await, Err(Error::Overloaded)));
        end.send(()).expect("it runs on");
    }
}
