// Certificates for tests, made by OpenSSL in memory and written to a directory of their own, which goes with
// the object. EC keys: making one takes less than a millisecond.
#pragma once

#include <memory>
#include <string>
#include <vector>

struct x509_st;
struct evp_pkey_st;

namespace imapmux::test {

struct CertificateFiles {
  std::string certificate;  // PEM files
  std::string private_key;
};

// A certificate authority and what it has signed.
class TestCertificates {
 public:
  enum class Validity { kNow, kExpired, kNotYet };

  TestCertificates();
  ~TestCertificates();
  TestCertificates(const TestCertificates&) = delete;
  TestCertificates& operator=(const TestCertificates&) = delete;

  const std::string& directory() const { return directory_; }
  const std::string& ca() const { return ca_; }  // PEM file
  // Names may be numeric addresses; the first one is the subject's common name.
  CertificateFiles issue(const std::vector<std::string>& names, Validity validity = Validity::kNow);
  CertificateFiles encrypted_key(const CertificateFiles& plain, const std::string& password);
  std::string write(const std::string& name, const std::string& text);

 private:
  std::string directory_;
  std::string ca_;
  std::shared_ptr<evp_pkey_st> ca_key_;
  std::shared_ptr<x509_st> ca_certificate_;
  int serial_ = 1;
};

}  // namespace imapmux::test
