# SPDX-License-Identifier: Apache-2.0
# TOKENRING_FUZZ=ON: everything is compiled with clang, with coverage for libFuzzer and with the address and undefined
# sanitizers. Without clang's fuzzer runtime nothing is instrumented, and the tests say why they are skipped.
if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
  message(FATAL_ERROR "TOKENRING_FUZZ=ON needs clang: -DCMAKE_C_COMPILER=clang")
endif()
if(TOKENRING_SANITIZE STREQUAL "thread")
  message(FATAL_ERROR "TOKENRING_FUZZ=ON brings the address sanitizer, which excludes TOKENRING_SANITIZE=thread")
endif()
include(CheckCSourceCompiles)
set(CMAKE_REQUIRED_FLAGS -fsanitize=fuzzer,address,undefined)
check_c_source_compiles("
  #include <stddef.h>
  #include <stdint.h>
  int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);
  int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) { return count > 0 && bytes[0] > 255; }
" TOKENRING_FUZZER_RUNTIME)
unset(CMAKE_REQUIRED_FLAGS)
if(TOKENRING_FUZZER_RUNTIME)
  set(TOKENRING_SANITIZE address) # hides the cache's value
  target_compile_options(tokenring_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
