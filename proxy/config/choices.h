// The names of enumerated values. Where a value has several names, the first one is printed.
#pragma once

#include <array>

#include "config/config.h"
#include "config/readers.h"

namespace imapmux::config {

inline constexpr std::array kListenerTlsChoices{Choice{"none", ListenerTls::kNone},
                                                Choice{"starttls", ListenerTls::kStarttls},
                                                Choice{"implicit", ListenerTls::kImplicit}};
inline constexpr std::array kBackendTlsChoices{Choice{"none", BackendTls::kNone},
                                               Choice{"starttls", BackendTls::kStarttls},
                                               Choice{"implicit", BackendTls::kImplicit}};
inline constexpr std::array kTlsVerifyChoices{Choice{"full", TlsVerify::kFull}, Choice{"ca", TlsVerify::kCa},
                                              Choice{"none", TlsVerify::kNone}};
inline constexpr std::array kTlsVersionChoices{
    Choice{"TLSv1.0", TlsVersion::kTls10}, Choice{"TLSv1.1", TlsVersion::kTls11},
    Choice{"TLSv1.2", TlsVersion::kTls12}, Choice{"TLSv1.3", TlsVersion::kTls13},
    Choice{"TLSv1", TlsVersion::kTls10}};
inline constexpr std::array kPlaintextLoginChoices{Choice{"never", PlaintextLogin::kNever},
                                                   Choice{"loopback", PlaintextLogin::kLoopback},
                                                   Choice{"always", PlaintextLogin::kAlways}};
inline constexpr std::array kClientMechanismChoices{
    Choice{"PLAIN", Mechanism::kPlain}, Choice{"LOGIN", Mechanism::kAuthLogin},
    Choice{"XOAUTH2", Mechanism::kXoauth2}, Choice{"OAUTHBEARER", Mechanism::kOauthbearer}};
inline constexpr std::array kLoginMechanismChoices{
    Choice{"auto", LoginMechanism::kAuto}, Choice{"LOGIN", LoginMechanism::kLogin},
    Choice{"PLAIN", LoginMechanism::kPlain}, Choice{"XOAUTH2", LoginMechanism::kXoauth2},
    Choice{"OAUTHBEARER", LoginMechanism::kOauthbearer}};
inline constexpr std::array kMailboxAccessChoices{Choice{"shared", MailboxAccess::kShared},
                                                  Choice{"exclusive", MailboxAccess::kExclusive},
                                                  Choice{"unrestricted", MailboxAccess::kUnrestricted}};
inline constexpr std::array kConflictsChoices{Choice{"single-access", Conflicts::kSingleAccess},
                                              Choice{"single-writer", Conflicts::kSingleWriter},
                                              Choice{"none", Conflicts::kNone}};
inline constexpr std::array kShareCredentialsChoices{Choice{"any", ShareCredentials::kAny},
                                                     Choice{"identical", ShareCredentials::kIdentical}};
inline constexpr std::array kUidNextChoices{Choice{"sticky", UidNext::kSticky},
                                            Choice{"unreliable", UidNext::kUnreliable}};
inline constexpr std::array kSendProxyChoices{Choice{"none", SendProxy::kNone}, Choice{"v1", SendProxy::kV1},
                                              Choice{"v2", SendProxy::kV2}};
inline constexpr std::array kLogLevelChoices{
    Choice{"trace", base::log::Level::kTrace}, Choice{"debug", base::log::Level::kDebug},
    Choice{"info", base::log::Level::kInfo}, Choice{"warn", base::log::Level::kWarn},
    Choice{"error", base::log::Level::kError}};
inline constexpr std::array kLogFormatChoices{Choice{"text", base::log::Format::kText},
                                              Choice{"json", base::log::Format::kJson}};

}  // namespace imapmux::config
