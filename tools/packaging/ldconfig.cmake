# SPDX-License-Identifier: Apache-2.0
# Run by `cmake --install` and by the target uninstall: updates the loader's cache, /etc/ld.so.cache, where that is what an installation
# into the system by root needs. Else a program finds libtokenring.so only after the next ldconfig.
if("$ENV{DESTDIR}" STREQUAL "" AND CMAKE_INSTALL_PREFIX MATCHES "^/usr(/local)?/?$")
  find_program(ldconfig ldconfig PATHS /sbin /usr/sbin NO_CACHE)
  execute_process(COMMAND id -u OUTPUT_VARIABLE user OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(ldconfig AND user STREQUAL "0")
    message(STATUS "Running: ${ldconfig}")
    execute_process(COMMAND ${ldconfig} RESULT_VARIABLE result)
    if(NOT result EQUAL 0)
      message(WARNING "${ldconfig} failed: programs may not find libtokenring.so until it succeeds")
    endif()
  else()
    message(STATUS "Not run: ldconfig, which root runs so that programs find libtokenring.so")
  endif()
endif()
