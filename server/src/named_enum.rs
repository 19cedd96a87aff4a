//! Enums of which each variant has one text: a reply on the wire, or a name in the metrics.

macro_rules! named_enum {
    (
        $(#[$enum_attribute:meta])* $vis:vis enum $Enum:ident,
        $(#[$text_attribute:meta])* fn $text:ident
        { $($(#[$variant_attribute:meta])* $Variant:ident = $name:literal,)+ }
    ) => {
        $(#[$enum_attribute])*
        $vis enum $Enum { $($(#[$variant_attribute])* $Variant,)+ }

        impl $Enum {
            /// In the order of their numbers.
            $vis const ALL: [Self; [$($name),+].len()] = [$(Self::$Variant),+];

            $(#[$text_attribute])*
            #[must_use]
            $vis const fn $text(self) -> &'static str {
                match self { $(Self::$Variant => $name,)+ }
            }
        }
    };
}
