//! Faults that a server can be given on purpose: each is one way in which real servers break the protocol.
//!
//! Only with the feature `faults`, which tests of a conformance suite turn on. The environment variable [`VARIABLE`]
//! names the fault; the rest of the crate asks for it by `fault!(Name)`, which is `false` without the feature. Here are
//! the definitions, and what sessions and connections remember for them.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The environment variable that names the fault.
pub const VARIABLE: &str = "FAULT_UNDER_TEST";

/// What shows a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownBy {
    /// A scripted case.
    Cases,
    /// A scripted case whose bytes are cut or joined in another way.
    Cuttings,
    /// A storm of concurrent requests.
    Storms,
    /// Nothing: it breaks no rule, though a tester may stumble over it.
    Nothing,
    /// Nearly every case.
    Everything,
}

macro_rules! faults {
    ($($shown:ident { $($Fault:ident $name:literal $rule:literal $about:literal,)+ })+) => {
        /// A fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fault { $($(#[doc = $about] $Fault,)+)+ }

        impl Fault {
            /// All of them.
            pub const ALL: &'static [Self] = &[$($(Self::$Fault,)+)+];

            /// Its name in reports and in [`VARIABLE`].
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$Fault => $name,)+)+ }
            }

            /// The rule that it breaks, or comes closest to breaking if it breaks none.
            #[must_use]
            pub const fn rule(self) -> &'static str {
                match self { $($(Self::$Fault => $rule,)+)+ }
            }

            /// What the server does.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $($(Self::$Fault => $about,)+)+ }
            }

            /// What shows it.
            #[must_use]
            pub const fn shown_by(self) -> ShownBy {
                match self { $($(Self::$Fault => ShownBy::$shown,)+)+ }
            }
        }
    };
}

faults! {
    Cases {
        GreetsWithDone "greets-with-done" "LOGIN-1" "A login is answered `done`.",
        RefusesNamesOf64Bytes "refuses-names-of-64-bytes" "LOGIN-1" "The longest name is one byte shorter than it should be.",
        LetsTwoHoldAName "lets-two-hold-a-name" "LOGIN-2" "A second login under a held name succeeds.",
        ClosesOnADuplicate "closes-on-a-duplicate" "LOGIN-2" "A login under a held name closes the connection.",
        TakesTheFirstWordAsName "takes-the-first-word-as-name" "LOGIN-3" "Of a login with several words the first is the name.",
        CutsLongNames "cuts-long-names" "LOGIN-3" "A name that is too long is cut to the limit.",
        ClosesOnABadName "closes-on-a-bad-name" "LOGIN-3" "A malformed login closes the connection.",
        QuitsBeforeLogin "quits-before-login" "LOGIN-5" "`q` ends a connection that has not logged in.",
        ServesBeforeLogin "serves-before-login" "LOGIN-5" "`get KEY` is answered before the login.",
        FoldsNames "folds-names" "LOGIN-6" "Names are lower-cased.",
        TakesAsciiNamesOnly "takes-ascii-names-only" "LOGIN-6" "Names beyond ASCII are malformed.",

        AnswersPutsWithSuccess "answers-puts-with-success" "STORE-1" "`put` is answered `success`.",
        InventsEmptyValues "invents-empty-values" "STORE-2" "The value of a missing key is empty.",
        ReplacesNothing "replaces-nothing" "STORE-3" "The first value of a key stays.",
        FoldsKeys "folds-keys" "STORE-4" "Keys are lower-cased.",
        CutsValues "cuts-values" "STORE-4" "Values are cut to 1,000 bytes.",
        StoresAscii "stores-ascii" "STORE-4" "Characters beyond ASCII become question marks.",
        JoinsUserAndKey "joins-user-and-key" "STORE-5" "All entries are in one table under user and key joined.",
        HasOneStore "has-one-store" "STORE-5" "All users share one store.",
        HasARoleKey "has-a-role-key" "STORE-6" "A fresh store has the key `role`.",
        ReservesQ "reserves-q" "STORE-6" "`q` cannot be a key.",
        HasNoKeyLimit "has-no-key-limit" "STORE-7" "The limit on keys is not enforced.",
        StoresWhatItRefuses "stores-what-it-refuses" "STORE-7" "A put that is answered `store full` takes effect.",

        KeepsRoles "keeps-roles" "ROLE-1" "The next session of a manager's name is a manager's.",
        DeniesOnlyExistingUsers "denies-only-existing-users" "ROLE-2" "A guest learns that a user does not exist.",
        DeniesOnlyExistingKeys "denies-only-existing-keys" "ROLE-2" "A guest learns that a key does not exist.",
        OpensOnesOwnName "opens-ones-own-name" "ROLE-2" "A guest reads its own store by its name.",
        ExplainsTheDenial "explains-the-denial" "ROLE-2" "The denial repeats the user's name.",
        TakesMissingKeysForUsers "takes-missing-keys-for-users" "ROLE-3" "A manager gets `user not found` for a missing key.",
        TakesMissingUsersForKeys "takes-missing-users-for-keys" "ROLE-3" "A manager gets `key not found` for a missing user.",
        UpgradesAgain "upgrades-again" "ROLE-4" "A manager's `upgrade` is granted once more.",
        RefusesUpgrades "refuses-upgrades" "ROLE-4" "`upgrade` is refused although the policy grants it.",
        UpgradesInNameOnly "upgrades-in-name-only" "ROLE-5" "An upgrade is granted but has no effect.",
        HasARoleByKey "has-a-role-by-key" "ROLE-5" "`put role manager` makes a manager.",
        UpgradesEveryone "upgrades-everyone" "ROLE-5" "One upgrade makes every user a manager.",
        PutsForOthers "puts-for-others" "ROLE-6" "A manager's `put USER KEY VALUE` is run.",
        PutsForOthersInSilence "puts-for-others-in-silence" "ROLE-6" "A four-word put is refused and run all the same.",
        OpensManagersStores "opens-managers-stores" "ROLE-7" "Guests read managers' stores.",
        TakesAnySecret "takes-any-secret" "ROLE-8" "Any secret is right.",
        NeedsNoSecret "needs-no-secret" "ROLE-8" "`upgrade` is granted without the secret.",
        UpgradesThoughClosed "upgrades-though-closed" "ROLE-8" "`upgrade` is granted under the policy `closed`.",
        TakesASecretThoughOpen "takes-a-secret-though-open" "ROLE-8" "`upgrade WORD` is granted under the policy `open`.",
        PromotesNobody "promotes-nobody" "ROLE-9" "The operator's promotion has no effect.",
        DemotesNobody "demotes-nobody" "ROLE-9" "The operator's demotion has no effect.",
        DisconnectsNobody "disconnects-nobody" "ROLE-9" "The operator's disconnect has no effect.",

        IgnoresEmptyMessages "ignores-empty-messages" "FORM-1" "An empty message gets no reply.",
        ClosesOnUnknownCommands "closes-on-unknown-commands" "FORM-1" "An unknown command closes the connection.",
        IgnoresFurtherWords "ignores-further-words" "FORM-1" "Words beyond those of a request do not count.",
        TakesAnyCase "takes-any-case" "FORM-2" "Commands may be upper case.",
        CountsSpaces "counts-spaces" "FORM-2" "More white space than one space between words is malformed.",
        SplitsAtWideSpace "splits-at-wide-space" "FORM-2" "White space beyond ASCII separates words.",
        SwapsReplies "swaps-replies" "FORM-3" "Of two requests in one segment the second is answered first.",
        AnswersPutsTwice "answers-puts-twice" "FORM-3" "`put` gets two replies.",
        DropsWhatFollows "drops-what-follows" "FORM-3" "Of several requests in one segment only the first is run.",

        QuitsWithoutAWord "quits-without-a-word" "LIFE-1" "`q` closes the connection without a reply.",
        StaysAfterQuit "stays-after-quit" "LIFE-1" "After `exiting` the session goes on.",
        KeepsNames "keeps-names" "LIFE-2" "A name stays taken after a session that ends without `q`.",
        KeepsStores "keeps-stores" "LIFE-2" "A new session finds what an earlier one put.",
        LeavesStoresToManagers "leaves-stores-to-managers" "LIFE-2" "Managers read the store of a user that has gone.",
        FreesNamesAfterTheClose "frees-names-after-the-close" "LIFE-3" "After `q` the name stays taken for half a second.",
        ForgetsHalfClosedClients "forgets-half-closed-clients" "LIFE-4" "A client that closes its sending side gets no reply.",
        WaitsForHalfALine "waits-for-half-a-line" "LIFE-5" "While one client has sent half a line, all others wait.",
        EndsOthersAtALoss "ends-others-at-a-loss" "LIFE-5" "A connection that ends without `q` ends all others.",

        LagsForManagers "lags-for-managers" "ATOM-1" "Managers read the value before the last put.",
        RunsRefusedPuts "runs-refused-puts" "ATOM-2" "A put with too many words is refused and replaces the value.",

        KeepsCarriageReturns "keeps-carriage-returns" "TCP-1" "The carriage return before a line feed counts.",
        EndsLinesWithCrLf "ends-lines-with-cr-lf" "TCP-1" "Replies end in CR and LF.",
        TakesReadsForLines "takes-reads-for-lines" "TCP-2" "What one read brings is whole lines.",
        DecodesEachRead "decodes-each-read" "TCP-2" "A UTF-8 sequence that is cut is replaced.",
        TakesLongLines "takes-long-lines" "TCP-3" "There is no limit on a line.",
        GoesOnAfterALongLine "goes-on-after-a-long-line" "TCP-3" "A line over the limit does not close the connection.",
        ClosesOnBadUtf8 "closes-on-bad-utf8" "TCP-4" "A line that is not UTF-8 closes the connection.",
        TakesBadUtf8 "takes-bad-utf8" "TCP-4" "A line that is not UTF-8 is repaired and run.",
        RunsTheUnterminatedLine "runs-the-unterminated-line" "TCP-5" "The end of the stream ends a line.",
        NeverTimesOutLogins "never-times-out-logins" "TCP-7" "A connection without a login stays.",
        NeverTimesOutIdlers "never-times-out-idlers" "TCP-7" "An idle session stays.",
        TimesOutInSilence "times-out-in-silence" "TCP-7" "A time-out closes without its text.",
        ResetsAtTheEnd "resets-at-the-end" "TCP-8" "The server closes by a reset, which overtakes the last reply.",
        LeavesNagleOn "leaves-nagle-on" "TCP-9" "Nagle's algorithm stays on.",
        TerminatesChunks "terminates-chunks" "RAW-1" "Replies to raw clients end in LF.",

        AnswersInBinary "answers-in-binary" "WS-1" "Replies are binary messages.",
        TerminatesTexts "terminates-texts" "WS-1" "Replies over WebSocket end in LF.",
        ComputesAWrongAcceptKey "computes-a-wrong-accept-key" "WS-2" "The accept key is wrong.",
        UpgradesPosts "upgrades-posts" "WS-2" "The method of the handshake does not matter.",
        UpgradesOldHttp "upgrades-old-http" "WS-2" "HTTP/1.0 is upgraded.",
        UpgradesWithoutHost "upgrades-without-host" "WS-2" "A handshake without Host is upgraded.",
        UpgradesWithoutKey "upgrades-without-key" "WS-2" "A handshake without a proper key is upgraded.",
        UpgradesWithoutUpgrade "upgrades-without-upgrade" "WS-2" "A handshake without Upgrade is upgraded.",
        UpgradesWithoutConnection "upgrades-without-connection" "WS-2" "A handshake without Connection is upgraded.",
        UpgradesAnyVersion "upgrades-any-version" "WS-2" "Any version is taken for 13.",
        NamesNoVersion "names-no-version" "WS-2" "The refusal of another version does not name 13.",
        NamesAnExtension "names-an-extension" "WS-2" "The server chooses an extension that was not offered.",
        NamesASubprotocol "names-a-subprotocol" "WS-2" "The server chooses a subprotocol that was not offered.",
        RefusesWithoutAReply "refuses-without-a-reply" "WS-2a" "A bad handshake is closed without an HTTP reply.",
        RefusesVersionsWith400 "refuses-versions-with-400" "WS-2a" "Another version is refused with 400.",
        TakesFragmentsForMessages "takes-fragments-for-messages" "WS-3" "Each fragment is a message.",
        ForgetsFirstFragments "forgets-first-fragments" "WS-3" "The first fragment of a message is lost.",
        FailsOnControlsBetweenFragments "fails-on-controls-between-fragments" "WS-3" "A ping between fragments fails the connection.",
        IgnoresPings "ignores-pings" "WS-3" "Pings are not answered.",
        AnswersPingsWithNothing "answers-pings-with-nothing" "WS-3" "Pongs are empty.",
        FailsOnPongs "fails-on-pongs" "WS-3" "An unsolicited pong fails the connection.",
        TakesUnmaskedFrames "takes-unmasked-frames" "WS-4" "Unmasked frames are taken.",
        TakesReservedBits "takes-reserved-bits" "WS-4" "Reserved bits are ignored.",
        TakesReservedOpcodes "takes-reserved-opcodes" "WS-4" "Reserved opcodes are taken for text or ignored.",
        TakesStrayContinuations "takes-stray-continuations" "WS-4" "A continuation of nothing is a message.",
        TakesNestedMessages "takes-nested-messages" "WS-4" "A text frame within a message continues it.",
        TakesLongControls "takes-long-controls" "WS-4" "Control frames of more than 125 bytes are answered.",
        TakesFragmentedControls "takes-fragmented-controls" "WS-4" "A fragmented control frame is taken.",
        TakesTheTopBit "takes-the-top-bit" "WS-4" "The top bit of a length is ignored.",
        IgnoresClosesOfOneByte "ignores-closes-of-one-byte" "WS-4" "A close frame of one byte is ignored.",
        EchoesForbiddenCodes "echoes-forbidden-codes" "WS-4" "A close frame with a forbidden code is echoed.",
        IgnoresForbiddenCodes "ignores-forbidden-codes" "WS-4" "A close frame with a forbidden code is ignored.",
        TakesBadTexts "takes-bad-texts" "WS-4" "A text that is not UTF-8 is repaired and run.",
        TakesBinaryMessages "takes-binary-messages" "WS-4" "Binary messages are run.",
        TakesLongTexts "takes-long-texts" "WS-4" "A message over the limit is cut and run.",
        ClosesAlwaysWith1000 "closes-always-with-1000" "WS-4a" "The code of a close frame does not say why.",
        TakesLongLengths "takes-long-lengths" "WS-4a" "A length in more bytes than it needs is taken.",
        IgnoresCloses "ignores-closes" "WS-5" "A close frame is not answered.",
        ClosesWithoutAFrame "closes-without-a-frame" "WS-5" "TCP is closed without a close frame.",
        ClosesWith1001AfterQuit "closes-with-1001-after-quit" "WS-5" "After `exiting` the code is 1001.",
        ClosesTimeoutsWith1000 "closes-timeouts-with-1000" "WS-5" "After a time-out the code is 1000.",
        MasksFrames "masks-frames" "WS-7" "The server masks its frames.",
        AllowsAnyOrigin "allows-any-origin" "WS-8" "Web pages of any origin are let in.",
    }
    Storms {
        ChecksNamesThenTakesThem "checks-names-then-takes-them" "LOGIN-4" "A name is looked up first and taken later.",
        ForgetsAPut "forgets-a-put" "STORE-1" "One put in a hundred is not stored.",
        SwapsUsersOnceInAHundred "swaps-users-once-in-a-hundred" "STORE-5" "One read in a hundred returns what another user put last.",
        HasNoByteLimit "has-no-byte-limit" "STORE-7" "The limit on bytes is not enforced.",
        IgnoresTheManagerCap "ignores-the-manager-cap" "ROLE-8" "There is no cap on managers.",
        ChecksTheManagerCapFirst "checks-the-manager-cap-first" "ROLE-8" "The cap on managers is checked first and counted later.",
        AnswersTwiceOnceInAHundred "answers-twice-once-in-a-hundred" "FORM-3" "One reply in a hundred is sent twice.",
        LosesAReplyOnceInAHundred "loses-a-reply-once-in-a-hundred" "FORM-3" "One reply in a hundred is not sent.",
        StallsAtAFlood "stalls-at-a-flood" "LIFE-5" "Each hundredth request of one client keeps all others waiting for two seconds.",
        IsStaleOnceInAHundred "is-stale-once-in-a-hundred" "ATOM-1" "One read in a hundred returns the value before the last put.",
        IsStaleToManagersOnceInAHundred "is-stale-to-managers-once-in-a-hundred" "ATOM-1" "One read of a manager in a hundred returns the value before the last put.",
        MixesAPutOnceInAHundred "mixes-a-put-once-in-a-hundred" "ATOM-2" "One put in a hundred leaves half of the old value and half of the new.",
        RefusesWithoutAWord "refuses-without-a-word" "TCP-6" "A connection over the limit is closed without `server full`.",
        RefusesWithoutHttp "refuses-without-http" "WS-6" "A handshake over the limit is closed without an HTTP reply.",
    }
    Nothing {
        RepliesAfter300Ms "replies-after-300-ms" "STORE-1" "Every reply takes 300 ms.",
        FragmentsReplies "fragments-replies" "WS-1" "Replies come in two fragments.",
        PingsBeforeReplies "pings-before-replies" "WS-1" "A ping comes before every reply.",
        ResetsOnFailures "resets-on-failures" "WS-4" "A WebSocket that fails is reset.",
        FreesNamesLate "frees-names-late" "LIFE-2" "A session that ends without `q` frees its name 900 ms later.",
        RefusesLongLinesAtTheirEnd "refuses-long-lines-at-their-end" "TCP-3" "A line over the limit is refused once all of it has come.",
        CoalescesReplies "coalesces-replies" "FORM-3" "Replies wait for 30 ms and leave together.",
        CutsReplies "cuts-replies" "TCP-2" "Replies come byte by byte.",
        CutsTheHandshake "cuts-the-handshake" "WS-2" "The 101 comes byte by byte.",
        KeepsAliveAndUpgrades "keeps-alive-and-upgrades" "WS-2" "The 101 has `Connection: keep-alive, Upgrade`.",
    }
    Everything {
        ClosesOnEverything "closes-on-everything" "LOGIN-1" "Every connection is closed at once.",
        SaysDoneToEverything "says-done-to-everything" "LOGIN-1" "Every message is answered `done`.",
    }
}

static ACTIVE: LazyLock<Option<Fault>> = LazyLock::new(|| {
    let name = env::var(VARIABLE).ok().filter(|name| !name.is_empty())?;
    let fault = Fault::from_name(&name);
    Some(fault.unwrap_or_else(|| panic!("{VARIABLE}: no fault is called `{name}`")))
});

impl Fault {
    /// The one of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.name() == name)
    }

    /// The one that this process has.
    pub(crate) fn active() -> Option<Self> {
        *ACTIVE
    }

    pub(crate) fn is_active(self) -> bool {
        *ACTIVE == Some(self)
    }
}

/// Whether a fault that shows once in a hundred times shows this time.
pub(crate) fn once_in_a_hundred() -> bool {
    static TIMES: AtomicU64 = AtomicU64::new(0);
    TIMES.fetch_add(1, Ordering::Relaxed) % 100 == 99
}

/// What faulty sessions remember of each other.
#[derive(Debug)]
pub(crate) struct Memory {
    /// The last two values put under a user's key, the last one last. The user is empty for what all share.
    puts: BTreeMap<(String, String), [Option<String>; 2]>,
    pub(crate) former_managers: BTreeSet<String>,
    /// Until when nothing is served.
    pub(crate) stalled_until: Option<Instant>,
}

impl Memory {
    pub(crate) fn lock() -> MutexGuard<'static, Self> {
        static MEMORY: Mutex<Memory> = Mutex::new(Memory {
            puts: BTreeMap::new(),
            former_managers: BTreeSet::new(),
            stalled_until: None,
        });
        MEMORY.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&mut self, user: &str, key: &str, value: &str) {
        let values = self.puts.entry((user.to_owned(), key.to_owned())).or_default();
        values.rotate_left(1);
        values[1] = Some(value.to_owned());
    }

    pub(crate) fn get(&self, user: &str, key: &str) -> Option<String> {
        self.puts.get(&(user.to_owned(), key.to_owned()))?[1].clone()
    }

    /// The value before the last one.
    pub(crate) fn before(&self, user: &str, key: &str) -> Option<String> {
        self.puts.get(&(user.to_owned(), key.to_owned()))?[0].clone()
    }

    pub(crate) fn stall(&mut self, time: Duration) {
        self.stalled_until = Some(Instant::now() + time);
    }
}
