// SPDX-License-Identifier: Apache-2.0
#include "cli/program_file.h"

#include <elf.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

namespace tapir::cli {
namespace {

// Interpreters of interpreters; Linux gives up after four.
constexpr int kInterpretersMax = 4;

std::optional<std::string> look_up(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = std::getenv("PATH");
  std::istringstream folders(path != nullptr ? path : "/bin:/usr/bin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string file = (folder.empty() ? "." : folder) + "/" + name;
    if (::access(file.c_str(), X_OK) == 0) return file;
  }
  return std::nullopt;
}

template <typename T>
bool read_at(std::ifstream& file, std::uint64_t offset, T& into) {
  file.seekg(static_cast<std::streamoff>(offset));
  return static_cast<bool>(file.read(reinterpret_cast<char*>(&into), sizeof into));
}

// Has the program an interpreter, that is, a dynamic loader?
bool is_static(std::ifstream& file, const Elf64_Ehdr& header) {
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment{};
    if (!read_at(file, header.e_phoff + std::uint64_t{i} * header.e_phentsize, segment)) return false;
    if (segment.p_type == PT_INTERP) return false;
  }
  return true;
}

// Go's linker leaves a section of its own, also in programs that it links to libc: their runtime makes its
// system calls itself.
bool is_of_go(std::ifstream& file, const Elf64_Ehdr& header) {
  Elf64_Shdr names{};
  if (header.e_shnum == 0 ||
      !read_at(file, header.e_shoff + std::uint64_t{header.e_shstrndx} * header.e_shentsize, names))
    return false;
  for (unsigned i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section{};
    std::array<char, sizeof ".go.buildinfo"> name{};
    if (!read_at(file, header.e_shoff + std::uint64_t{i} * header.e_shentsize, section)) return false;
    if (read_at(file, names.sh_offset + section.sh_name, name) &&
        std::memcmp(name.data(), ".go.buildinfo", name.size()) == 0)
      return true;
    file.clear();  // a name at the file's end is shorter
  }
  return false;
}

}  // namespace

std::optional<std::string> why_not_preloadable(const std::string& name) {
  auto path = look_up(name);
  for (int depth = 0; path && depth < kInterpretersMax; ++depth) {
    struct stat status{};
    if (::stat(path->c_str(), &status) == 0 && (status.st_mode & S_ISUID) != 0 &&
        status.st_uid != ::geteuid())
      return fmt::format(
          "{} is set-user-ID: the loader puts nothing before its libc, and its sockets stay the kernel's.",
          *path);
    std::ifstream file(*path, std::ios::binary);
    Elf64_Ehdr header{};
    if (!file.read(reinterpret_cast<char*>(&header), 2)) return std::nullopt;
    if (std::memcmp(&header, "#!", 2) == 0) {
      std::string line;
      std::getline(file, line);
      std::istringstream words(line);
      std::string interpreter;
      words >> interpreter;
      path = interpreter.empty() ? std::nullopt : std::optional(interpreter);
      continue;
    }
    if (!read_at(file, 0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64)
      return std::nullopt;
    if (is_of_go(file, header))
      return fmt::format(
          "{} is a Go program: it makes its system calls itself, and its sockets stay the kernel's.", *path);
    if (is_static(file, header))
      return fmt::format(
          "{} is statically linked: it makes its system calls itself, and its sockets stay the kernel's.",
          *path);
    return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace tapir::cli
