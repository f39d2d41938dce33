// Octets in memory and in files: what is appended comes out, limits hold, and everything is given back.
#include "net/spool.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "support/loop_driver.h"

namespace imapmux::net {
namespace {

namespace fs = std::filesystem;
using test::open_descriptors;
using test::pattern;

constexpr size_t kKiB = 1024;
constexpr size_t kMiB = 1024 * kKiB;

class SpoolTest : public testing::Test {
 protected:
  SpoolTest() {
    std::string name = fs::temp_directory_path() / "imapmux-spool-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    limits_.emplace(uint64_t{64} * kMiB, directory_);
  }
  ~SpoolTest() override {
    EXPECT_EQ(0U, limits_->used()) << "not given back";
    EXPECT_EQ(descriptors_, open_descriptors()) << "descriptors leaked";
    EXPECT_TRUE(fs::is_empty(directory_)) << "files left";
    fs::remove_all(directory_);
  }

  size_t descriptors_ = open_descriptors();
  std::string directory_;
  std::optional<SpoolLimits> limits_;
};

std::string take_all(Spool& spool) {
  std::string out;
  while (true) {
    const std::string_view piece = spool.front();
    if (piece.empty()) return out;
    EXPECT_LE(piece.size(), Spool::kPiece);
    out += piece;
    spool.pop(piece.size());
  }
}

void append_in_pieces(Spool& spool, std::string_view octets, size_t piece) {
  for (size_t at = 0; at < octets.size(); at += piece) spool.append(octets.substr(at, piece));
}

// No file may become longer while it lives.
class LongestFile {
 public:
  explicit LongestFile(rlim_t most) {
    EXPECT_EQ(0, ::getrlimit(RLIMIT_FSIZE, &before_));
    struct rlimit limit = before_;
    limit.rlim_cur = most;
    EXPECT_EQ(0, ::setrlimit(RLIMIT_FSIZE, &limit));
  }
  ~LongestFile() { ::setrlimit(RLIMIT_FSIZE, &before_); }
  LongestFile(const LongestFile&) = delete;
  LongestFile& operator=(const LongestFile&) = delete;

 private:
  struct rlimit before_{};
};

template <class Error, class Call>
std::string why(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST_F(SpoolTest, NothingInIt) {
  Spool spool(*limits_);
  EXPECT_EQ("", spool.front());
  spool.append("");
  EXPECT_EQ("", spool.front());
  EXPECT_EQ(0U, spool.size());
  EXPECT_EQ(0U, spool.total());
}

TEST_F(SpoolTest, ASmallMessageStaysInMemory) {
  Spool spool(*limits_);
  spool.append("From: bob\r\n");
  spool.append("\r\nHello");
  EXPECT_EQ(18U, spool.size());
  EXPECT_EQ(18U, limits_->used());
  EXPECT_EQ("From: bob\r\n\r\nHello", spool.front());
  spool.pop(6);
  EXPECT_EQ("bob\r\n\r\nHello", spool.front());
  EXPECT_EQ(12U, limits_->used());
  EXPECT_EQ("bob\r\n\r\nHello", take_all(spool));
  EXPECT_EQ(0U, spool.size());
  EXPECT_EQ(18U, spool.total());
  EXPECT_EQ(descriptors_, open_descriptors());
}

TEST_F(SpoolTest, AtTheBorder) {
  for (const size_t size : {Spool::kMemory - 1, Spool::kMemory, Spool::kMemory + 1}) {
    for (const size_t piece : {size_t{1000}, Spool::kPiece, Spool::kMemory + 1}) {
      Spool spool(*limits_);
      const std::string text = pattern(size);
      append_in_pieces(spool, text, piece);
      EXPECT_EQ(size > Spool::kMemory ? 1U : 0U, open_descriptors() - descriptors_) << size;
      EXPECT_EQ(size, spool.size());
      EXPECT_EQ(text, take_all(spool));
      EXPECT_EQ(descriptors_, open_descriptors()) << "an empty file is closed";
      EXPECT_EQ(0U, limits_->used());
    }
  }
}

TEST_F(SpoolTest, ALargeOneGoesToAFileWithoutAName) {
  Spool spool(*limits_);
  const std::string text = pattern(10 * kMiB + 1);
  append_in_pieces(spool, text, 64 * kKiB);
  EXPECT_EQ(text.size(), limits_->used());
  EXPECT_EQ(descriptors_ + 1, open_descriptors());
  EXPECT_TRUE(fs::is_empty(directory_));
  EXPECT_EQ(text, take_all(spool));
  EXPECT_EQ(text.size(), spool.total());
}

TEST_F(SpoolTest, WithoutMemoryAllGoesToAFile) {
  Spool spool(*limits_, 0);
  spool.append("abc");
  EXPECT_EQ(descriptors_ + 1, open_descriptors());
  EXPECT_EQ("abc", take_all(spool));
  spool.append("def");
  EXPECT_EQ("def", take_all(spool));
}

TEST_F(SpoolTest, WhatIsDestroyedIsGivenBack) {
  Spool small(*limits_);
  small.append(pattern(1000));
  Spool large(*limits_);
  large.append(pattern(kMiB));
  large.pop(large.front().size());
}

TEST_F(SpoolTest, WhatIsReadBackGivesTheDiskRoom) {
  if (!UnlinkedFile(directory_).punch(0, kMiB)) GTEST_SKIP() << "this file system keeps what a file has";
  Spool spool(*limits_, 0);
  const std::string piece = pattern(Spool::kPiece);
  for (size_t i = 0; i < 64; ++i) spool.append(piece);
  // Never empty, and more goes through than may be in it.
  for (size_t i = 0; i < 4000; ++i) {
    ASSERT_EQ(piece, spool.front());
    spool.pop(piece.size());
    ASSERT_NO_THROW(spool.append(piece));
    ASSERT_LE(limits_->used(), 6 * kMiB);
  }
  EXPECT_EQ(4 * kMiB, spool.size());
}

// Against a string that does the same, with all kinds of sizes.
TEST_F(SpoolTest, AppendedAndTakenInTurns) {
  std::mt19937 random(1);
  for (const size_t memory : {size_t{0}, size_t{1000}, 100 * kKiB}) {
    Spool spool(*limits_, memory);
    std::string model;
    const std::string text = pattern(300 * kKiB);
    for (int round = 0; round < 3000; ++round) {
      const size_t longest = round % 50 == 0 ? 300 * kKiB : 3000;
      if (random() % 2 == 0) {
        const size_t size = random() % longest;
        const size_t at = random() % (text.size() - size);
        spool.append(std::string_view(text).substr(at, size));
        model += text.substr(at, size);
      } else {
        const std::string_view piece = spool.front();
        ASSERT_EQ(model.empty(), piece.empty());
        const size_t size = random() % 3 == 0 ? piece.size() : random() % (piece.size() + 1);
        ASSERT_EQ(std::string_view(model).substr(0, piece.size()), piece);
        spool.pop(size);
        model.erase(0, size);
      }
      ASSERT_EQ(model.size(), spool.size());
      ASSERT_GE(limits_->used(), spool.size());
    }
    EXPECT_EQ(model, take_all(spool));
    EXPECT_EQ(0U, limits_->used());
  }
}

TEST_F(SpoolTest, WhatIsKeptIsReadAgain) {
  for (const size_t size : {size_t{10}, Spool::kMemory, 3 * kMiB}) {
    Spool spool(*limits_, Spool::kMemory, Spool::Taken::kKept);
    const std::string text = pattern(size);
    append_in_pieces(spool, text, 10'000);
    EXPECT_EQ(text, take_all(spool));
    EXPECT_EQ(0U, spool.size());
    EXPECT_EQ(size, limits_->used());
    spool.rewind();
    EXPECT_EQ(size, spool.size());
    spool.pop(std::min<size_t>(7, spool.front().size()));
    spool.append("more");
    spool.rewind();
    EXPECT_EQ(text + "more", take_all(spool));
  }
}

TEST_F(SpoolTest, Moves) {
  Spool first(*limits_, 1000);
  const std::string text = pattern(100 * kKiB);
  append_in_pieces(first, text, 900);
  ASSERT_GE(first.front().size(), 100U);
  first.pop(100);
  Spool second(std::move(first));
  EXPECT_EQ(text.size() - 100, second.size());
  Spool third(*limits_);
  third.append(pattern(kMiB));
  third = std::move(second);
  EXPECT_EQ(text.substr(100), take_all(third));
  EXPECT_EQ(0U, limits_->used());
}

TEST_F(SpoolTest, TheLimitIsOneForAll) {
  limits_->set_most(1000);
  Spool first(*limits_);
  Spool second(*limits_);
  first.append(pattern(600));
  EXPECT_EQ("max_spool (1000 octets) is reached", why<SpoolFull>([&] { second.append(pattern(401)); }));
  EXPECT_EQ(600U, limits_->used());
  EXPECT_EQ(0U, second.size());
  second.append(pattern(400));
  EXPECT_THROW(first.append("x"), SpoolFull);
  EXPECT_EQ(pattern(600), take_all(first));
  second.append("x");
  limits_->set_most(10);
  EXPECT_THROW(second.append("x"), SpoolFull);
  EXPECT_EQ(pattern(400) + "x", take_all(second));
}

TEST_F(SpoolTest, TheLimitHoldsAcrossThreads) {
  limits_->set_most(1000);
  std::atomic<size_t> taken = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 10'000; ++round) {
        if (!limits_->take(300)) continue;
        EXPECT_LE(limits_->used(), 1000U);
        ++taken;
        limits_->give_back(300);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(taken, 0U);
}

TEST_F(SpoolTest, WithoutADirectoryOnlyMemoryIsLeft) {
  for (const std::string directory : {"/missing/directory", "/proc", "/dev/null"}) {
    SpoolLimits limits(kMiB, directory);
    Spool spool(limits, 10);
    spool.append("12345");
    const std::string text = why<SpoolError>([&] { spool.append("abcdef"); });
    EXPECT_TRUE(text.starts_with("a file in " + directory + ": ")) << text;
    EXPECT_EQ(5U, limits.used());
    spool.append("67890");
    EXPECT_EQ("1234567890", take_all(spool));
  }
}

TEST_F(SpoolTest, AFullDiskIsToldAndWhatWasThereIsRead) {
  Spool spool(*limits_, 10);
  const std::string text = pattern(100 * kKiB);
  std::string told;
  {
    const LongestFile limit(64 * kKiB);
    append_in_pieces(spool, std::string_view(text).substr(0, 60 * kKiB), kKiB);
    told = why<SpoolFull>([&] { spool.append(std::string_view(text).substr(60 * kKiB)); });  // a part fits
  }
  EXPECT_EQ("a file in " + directory_ + ": File too large", told);
  EXPECT_EQ(60 * kKiB, spool.size());
  EXPECT_EQ(60 * kKiB, spool.total());
  EXPECT_EQ(60 * kKiB, limits_->used());
  spool.append(std::string_view(text).substr(60 * kKiB));  // there is room again
  EXPECT_EQ(text, take_all(spool));
}

TEST_F(SpoolTest, NoDescriptorsLeft) {
  struct rlimit before{};
  ASSERT_EQ(0, ::getrlimit(RLIMIT_NOFILE, &before));
  struct rlimit none = before;
  none.rlim_cur = 0;
  Spool spool(*limits_, 10);
  spool.append("12345");
  ASSERT_EQ(0, ::setrlimit(RLIMIT_NOFILE, &none));
  const std::string told = why<SpoolError>([&] { spool.append("abcdef"); });
  ASSERT_EQ(0, ::setrlimit(RLIMIT_NOFILE, &before));
  EXPECT_EQ("a file in " + directory_ + ": Too many open files", told);
  EXPECT_EQ("12345", take_all(spool));
}

TEST_F(SpoolTest, FilesNeedNoNamelessOnes) {
  for (const auto how : {UnlinkedFile::How::kNeverNamed, UnlinkedFile::How::kUnlinked}) {
    UnlinkedFile file(directory_, how);
    EXPECT_TRUE(fs::is_empty(directory_));
    file.write(3, "defg");
    file.write(0, "abc");
    std::string out(5, ' ');
    file.read(1, out.data(), out.size());
    EXPECT_EQ("bcdef", out);
    try {
      file.read(4, out.data(), out.size());
      ADD_FAILURE() << "read beyond the end";
    } catch (const std::system_error& error) {
      EXPECT_EQ(EIO, error.code().value());
    }
    UnlinkedFile other(std::move(file));
    EXPECT_TRUE(other.is_open());
    other = UnlinkedFile();
    EXPECT_FALSE(other.is_open());
  }
  EXPECT_EQ(ENOENT, [&] {
    try {
      UnlinkedFile file("/missing", UnlinkedFile::How::kUnlinked);
      return 0;
    } catch (const std::system_error& error) {
      return error.code().value();
    }
  }());
}

// Whoever the proxy starts must not inherit mail, and nobody else may read it.
TEST_F(SpoolTest, FilesAreOurs) {
  for (const auto how : {UnlinkedFile::How::kNeverNamed, UnlinkedFile::How::kUnlinked}) {
    std::vector<bool> open_before;
    for (int fd = 0; fd < 1024; ++fd) open_before.push_back(::fcntl(fd, F_GETFD) >= 0);
    const UnlinkedFile file(directory_, how);
    for (int fd = 0; fd < 1024; ++fd) {
      if (open_before[static_cast<size_t>(fd)] || ::fcntl(fd, F_GETFD) < 0) continue;
      EXPECT_EQ(FD_CLOEXEC, ::fcntl(fd, F_GETFD) & FD_CLOEXEC);
      struct stat facts{};
      ASSERT_EQ(0, ::fstat(fd, &facts));
      EXPECT_EQ(0600U, facts.st_mode & 0777U);
      EXPECT_EQ(0U, facts.st_nlink);
    }
  }
}

}  // namespace
}  // namespace imapmux::net
