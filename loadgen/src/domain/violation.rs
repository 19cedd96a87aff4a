//! What a wrong reply breaks, and in which way.

use super::named::named;

named! {
    /// A requirement of the protocol, by its id.
    Rule {
        Login1 "LOGIN-1", Login2 "LOGIN-2", Login3 "LOGIN-3", Login4 "LOGIN-4", Login5 "LOGIN-5", Login6 "LOGIN-6",
        Store1 "STORE-1", Store2 "STORE-2", Store3 "STORE-3", Store4 "STORE-4", Store5 "STORE-5", Store6 "STORE-6",
        Store7 "STORE-7",
        Role1 "ROLE-1", Role2 "ROLE-2", Role3 "ROLE-3", Role4 "ROLE-4", Role5 "ROLE-5", Role6 "ROLE-6",
        Role7 "ROLE-7", Role8 "ROLE-8", Role9 "ROLE-9",
        Form1 "FORM-1", Form2 "FORM-2", Form3 "FORM-3",
        Life1 "LIFE-1", Life2 "LIFE-2", Life3 "LIFE-3", Life4 "LIFE-4", Life5 "LIFE-5",
        Atom1 "ATOM-1", Atom2 "ATOM-2",
        Tcp1 "TCP-1", Tcp2 "TCP-2", Tcp3 "TCP-3", Tcp4 "TCP-4", Tcp5 "TCP-5", Tcp6 "TCP-6", Tcp7 "TCP-7",
        Tcp8 "TCP-8", Tcp9 "TCP-9",
        Raw1 "RAW-1",
        Ws1 "WS-1", Ws2 "WS-2", Ws2a "WS-2a", Ws3 "WS-3", Ws4 "WS-4", Ws4a "WS-4a", Ws5 "WS-5", Ws6 "WS-6",
        Ws7 "WS-7", Ws8 "WS-8",
    }
}

impl Rule {
    /// Whether it is a SHOULD; all others are a MUST.
    #[must_use]
    pub const fn is_should(self) -> bool {
        matches!(self, Self::Tcp9 | Self::Ws2a | Self::Ws4a | Self::Ws8)
    }
}

named! {
    /// In which way a reply is wrong.
    ViolationKind {
        WrongReply "wrong reply",
        StaleValue "stale value",
        LostValue "lost value",
        ForeignValue "foreign value",
        ValueOfAnotherKey "value of another key",
        ValueOfAnotherRun "value of another run",
        ValueOfAnEarlierSession "value of an earlier session",
        ValueNotYetPut "value not yet put",
        ValueWrittenByAnotherUser "value that another user wrote",
        CorruptedValue "corrupted value",
        RefusedValue "refused value",
        IsolationBroken "isolation broken",
        SessionBeforeItsLogin "session before its login",
        SwappedReply "swapped reply",
        UnaskedReply "unasked reply",
        BinaryMessage "binary message",
        ClosedInsteadOfAReply "closed instead of a reply",
        BrokenFraming "broken framing",
        BrokenHandshake "broken handshake",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_holds_the_names() {
        for (rule, name) in Rule::ALL.iter().zip(Rule::NAMES) {
            assert_eq!(serde_json::to_value(rule).unwrap(), *name);
            assert_eq!(Rule::from_name(name), Some(*rule));
        }
        for (kind, name) in ViolationKind::ALL.iter().zip(ViolationKind::NAMES) {
            assert_eq!(serde_json::from_value::<ViolationKind>((*name).into()).unwrap(), *kind);
        }
    }
}
