//! The smallest program that UEFI starts: one section of code in a PE32+ file ("PE Format" in
//! Microsoft's documentation; UEFI 2.10, 2.1.1).

/// Where the file's parts begin, and how they are aligned in it.
const FILE_ALIGNMENT: usize = 0x200;
/// How they are aligned in memory: a page.
const SECTION_ALIGNMENT: usize = 0x1000;
/// Where the PE header begins.
const PE_OFFSET: usize = 0x40;
/// Bytes of the optional header: its fields and 16 empty data directories.
const OPTIONAL_SIZE: usize = 112 + 16 * 8;

/// A program of the given 64-bit code, at most 512 bytes, which may stand at any address.
pub(super) fn program(code: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 2 * FILE_ALIGNMENT];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &[PE_OFFSET as u8]);
    put(PE_OFFSET, b"PE\0\0");
    put(PE_OFFSET + 4, &coff_header());
    put(PE_OFFSET + 24, &optional_header());
    put(PE_OFFSET + 24 + OPTIONAL_SIZE, &section_header());
    put(FILE_ALIGNMENT, code);
    file
}

fn coff_header() -> Vec<u8> {
    const AMD64: u16 = 0x8664;
    const EXECUTABLE_AND_LARGE_ADDRESS_AWARE: u16 = 0x22;
    let mut header = Vec::new();
    header.extend(AMD64.to_le_bytes());
    header.extend(1_u16.to_le_bytes()); // sections
    header.extend([0; 12]); // no time, no symbols
    header.extend((OPTIONAL_SIZE as u16).to_le_bytes());
    header.extend(EXECUTABLE_AND_LARGE_ADDRESS_AWARE.to_le_bytes());
    header
}

fn optional_header() -> Vec<u8> {
    const PE32_PLUS: u16 = 0x20b;
    const EFI_APPLICATION: u16 = 10;
    let dword = |value: usize| (value as u32).to_le_bytes();
    let mut header = Vec::new();
    header.extend(PE32_PLUS.to_le_bytes());
    header.extend([0; 2]); // version of the linker
    header.extend(dword(FILE_ALIGNMENT)); // bytes of code
    header.extend([0; 8]); // no data
    header.extend(dword(SECTION_ALIGNMENT)); // where execution begins
    header.extend(dword(SECTION_ALIGNMENT)); // where code begins
    header.extend([0; 8]); // wanted address: none
    header.extend(dword(SECTION_ALIGNMENT));
    header.extend(dword(FILE_ALIGNMENT));
    header.extend([0; 16]); // versions
    header.extend(dword(2 * SECTION_ALIGNMENT)); // bytes in memory
    header.extend(dword(FILE_ALIGNMENT)); // bytes of headers
    header.extend([0; 4]); // checksum
    header.extend(EFI_APPLICATION.to_le_bytes());
    header.extend([0; 38]); // characteristics, stack, heap, loader's flags
    header.extend(dword(16)); // data directories, all empty
    header.resize(OPTIONAL_SIZE, 0);
    header
}

fn section_header() -> Vec<u8> {
    const CODE_THAT_MAY_BE_READ_AND_EXECUTED: u32 = 0x6000_0020;
    let dword = |value: usize| (value as u32).to_le_bytes();
    let mut header = Vec::new();
    header.extend(b".text\0\0\0");
    header.extend(dword(FILE_ALIGNMENT)); // bytes in memory
    header.extend(dword(SECTION_ALIGNMENT)); // address
    header.extend(dword(FILE_ALIGNMENT)); // bytes in the file
    header.extend(dword(FILE_ALIGNMENT)); // where in the file
    header.extend([0; 12]);
    header.extend(CODE_THAT_MAY_BE_READ_AND_EXECUTED.to_le_bytes());
    header
}
