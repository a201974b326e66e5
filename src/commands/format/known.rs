//! Sets of named formats that come with the program: `pfo elf64` makes them known to the session.

/// A set of formats.
pub struct Set {
    /// What `pfo` takes.
    pub name: &'static str,
    /// What it describes.
    pub summary: &'static str,
    /// Names and format strings.
    pub formats: &'static [(&'static str, &'static str)],
}

const ELF_IDENT: (&str, &str) =
    ("elf_ident", "[4]z[1]E[1]E[1]Eb[8]X magic (elf_class)class (elf_data)data (elf_hdr_version)version abi padding");

const NOTE: (&str, &str) = ("elf_note", "xx[4]E namesz descsz (elf_n_type)type");

/// Every set.
pub const SETS: &[Set] = &[
    Set {
        name: "elf32",
        summary: "headers of 32-bit ELF files",
        formats: &[
            ELF_IDENT,
            (
                "elf_header",
                "?[2]E[2]E[4]ExxxxN2N2N2N2N2N2 (elf_ident)ident (elf_type)type (elf_machine)machine \
                 (elf_obj_version)version entry phoff shoff flags ehsize phentsize phnum shentsize shnum shstrndx",
            ),
            ("elf_phdr", "[4]Exxxxx[4]Ex (elf_p_type)type offset vaddr paddr filesz memsz (elf_p_flags)flags align"),
            ("elf_shdr", "x[4]Exxxxxxxx name (elf_s_type)type flags addr offset size link info addralign entsize"),
            ("elf_sym", "xxxbbw name value size info other shndx"),
            NOTE,
        ],
    },
    Set {
        name: "elf64",
        summary: "headers of 64-bit ELF files",
        formats: &[
            ELF_IDENT,
            (
                "elf_header",
                "?[2]E[2]E[4]EqqqxN2N2N2N2N2N2 (elf_ident)ident (elf_type)type (elf_machine)machine \
                 (elf_obj_version)version entry phoff shoff flags ehsize phentsize phnum shentsize shnum shstrndx",
            ),
            ("elf_phdr", "[4]E[4]Eqqqqqq (elf_p_type)type (elf_p_flags)flags offset vaddr paddr filesz memsz align"),
            ("elf_shdr", "x[4]Eqqqqxxqq name (elf_s_type)type flags addr offset size link info addralign entsize"),
            ("elf_sym", "xbbwqq name info other shndx value size"),
            NOTE,
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::format::parse::parse;

    #[test]
    fn every_format_parses() {
        for (name, format) in SETS.iter().flat_map(|set| set.formats) {
            assert!(parse(format).is_ok(), "{name}: {:?}", parse(format));
        }
    }
}
