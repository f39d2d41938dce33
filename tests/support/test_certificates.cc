#include "support/test_certificates.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace imapmux::test {
namespace {

using Key = std::shared_ptr<EVP_PKEY>;
using Certificate = std::shared_ptr<X509>;

void check(bool good, const char* what) {
  if (!good) throw std::runtime_error(std::string("test certificates: ") + what);
}

Key make_key() {
  Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  check(key != nullptr, "key");
  return key;
}

void add_extension(X509* to, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  check(extension != nullptr, value.c_str());
  X509_add_ext(to, extension, -1);
  X509_EXTENSION_free(extension);
}

Certificate make_certificate(const std::string& name, int serial, EVP_PKEY* key) {
  Certificate certificate(X509_new(), X509_free);
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_pubkey(certificate.get(), key);
  return certificate;
}

void set_validity(X509* certificate, TestCertificates::Validity validity) {
  constexpr long kDay = 24 * 3600;
  const bool expired = validity == TestCertificates::Validity::kExpired;
  const bool not_yet = validity == TestCertificates::Validity::kNotYet;
  X509_gmtime_adj(X509_getm_notBefore(certificate), expired ? -3 * kDay : not_yet ? kDay : -kDay);
  X509_gmtime_adj(X509_getm_notAfter(certificate), expired ? -kDay : 3 * kDay);
}

void write_key(const std::string& path, EVP_PKEY* key, const std::string& password) {
  FILE* file = fopen(path.c_str(), "w");
  check(file != nullptr, path.c_str());
  if (password.empty()) {
    PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  } else {
    PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(),
                         reinterpret_cast<const unsigned char*>(password.data()),
                         static_cast<int>(password.size()), nullptr, nullptr);
  }
  fclose(file);
}

void write_certificate(const std::string& path, X509* certificate) {
  FILE* file = fopen(path.c_str(), "w");
  check(file != nullptr, path.c_str());
  PEM_write_X509(file, certificate);
  fclose(file);
}

bool is_numeric(const std::string& name) {
  return name.find(':') != std::string::npos || name.find_first_not_of("0123456789.") == std::string::npos;
}

}  // namespace

TestCertificates::TestCertificates() {
  std::string pattern = (std::filesystem::temp_directory_path() / "imapmux-test-XXXXXX").string();
  check(mkdtemp(pattern.data()) != nullptr, "directory");
  directory_ = pattern;
  ca_key_ = make_key();
  ca_certificate_ =
      make_certificate("CA of " + directory_.substr(directory_.rfind('/')), serial_, ca_key_.get());
  set_validity(ca_certificate_.get(), Validity::kNow);
  X509_set_issuer_name(ca_certificate_.get(), X509_get_subject_name(ca_certificate_.get()));
  add_extension(ca_certificate_.get(), ca_certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
  add_extension(ca_certificate_.get(), ca_certificate_.get(), NID_subject_key_identifier, "hash");
  check(X509_sign(ca_certificate_.get(), ca_key_.get(), EVP_sha256()) != 0, "sign");
  ca_ = directory_ + "/ca.pem";
  write_certificate(ca_, ca_certificate_.get());
}

TestCertificates::~TestCertificates() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

CertificateFiles TestCertificates::issue(const std::vector<std::string>& names, Validity validity) {
  const Key key = make_key();
  const Certificate certificate = make_certificate(names.front(), ++serial_, key.get());
  set_validity(certificate.get(), validity);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(ca_certificate_.get()));
  std::string alternatives;
  for (const auto& name : names) {
    if (!alternatives.empty()) alternatives += ",";
    alternatives += (is_numeric(name) ? "IP:" : "DNS:") + name;
  }
  add_extension(certificate.get(), ca_certificate_.get(), NID_subject_alt_name, alternatives);
  check(X509_sign(certificate.get(), ca_key_.get(), EVP_sha256()) != 0, "sign");
  const auto stem = directory_ + "/" + std::to_string(serial_);
  write_certificate(stem + ".pem", certificate.get());
  write_key(stem + ".key", key.get(), "");
  return {stem + ".pem", stem + ".key"};
}

CertificateFiles TestCertificates::encrypted_key(const CertificateFiles& plain, const std::string& password) {
  FILE* file = fopen(plain.private_key.c_str(), "r");
  check(file != nullptr, plain.private_key.c_str());
  const Key key(PEM_read_PrivateKey(file, nullptr, nullptr, nullptr), EVP_PKEY_free);
  fclose(file);
  const auto path = plain.private_key + ".encrypted";
  write_key(path, key.get(), password);
  return {plain.certificate, path};
}

std::string TestCertificates::write(const std::string& name, const std::string& text) {
  const auto path = directory_ + "/" + name;
  std::ofstream(path) << text;
  return path;
}

}  // namespace imapmux::test
