#include "session/upload.h"

namespace imapmux::session {

async::Task<> skip_upload(ClientReader& reader, bool waits) {
  if (waits && reader.refuse_upload()) co_return;
  for (;;) {
    while (!reader.upload_ready()) co_await reader.arrivals().wait();
    const auto part = reader.take_upload();
    if (part.kind == UploadPart::Kind::kTail || part.kind == UploadPart::Kind::kBad ||
        part.kind == UploadPart::Kind::kEnd)
      co_return;
    // Of a synchronising one among several the client waits for "+" or NO.
    if (part.kind == UploadPart::Kind::kLiteral && part.literal_waits && reader.refuse_upload()) co_return;
  }
}

}  // namespace imapmux::session
