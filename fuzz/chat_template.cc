// A chat template, laid out for a conversation.
#include "tasks/chat/chat_template.h"

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rattn;
  Untrusted([&] {
    const ChatTemplate chat(std::string(InputText(data, size)), "template",
                            {{"bos_token", "<s>"}, {"eos_token", "</s>"}});
    chat.Render({{"system", "be\nbrief"},
                 {"user", " a "},
                 {"assistant", "b"},
                 {"user", "c"}});
  });
  return 0;
}
