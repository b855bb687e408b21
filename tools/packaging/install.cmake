# SPDX-License-Identifier: Apache-2.0
# Installation: the promise (headers, libraries and how to find them), the programs, the manual, and what starts and watches them.
# Included by the root's CMakeLists.txt.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
# First: cmake --install --prefix may name a folder from where it is called; units and the manifest are read elsewhere.
install(CODE "get_filename_component(CMAKE_INSTALL_PREFIX \"\${CMAKE_INSTALL_PREFIX}\" ABSOLUTE)")
set(libraries tokenring tokenring_static)
set(packages tokenring)
set(left_out PATTERN "repository.h" EXCLUDE PATTERN "alert.h" EXCLUDE)
if(TOKENRING_COLLECTOR)
  set(left_out)
  list(APPEND libraries tokenring_repository tokenring_repository_static)
  list(APPEND packages tokenring_repository)
endif()
install(DIRECTORY include/tokenring DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" ${left_out})
install(TARGETS ${libraries} EXPORT tokenring INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(program tokenringd tokenring_command)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()
if(TOKENRING_COLLECTOR) # the service, for systemd, where its files are told by its own names
  # The prefix may be another one when it is installed (cmake --install --prefix): the units are written then, and say where the
  # programs are. Those of the build are for tests.
  set(TOKENRING_BINDIR ${CMAKE_INSTALL_FULL_BINDIR})
  foreach(unit tokenringd tokenring-backup)
    configure_file(deploy/systemd/${unit}.service.in deploy/${unit}.service @ONLY)
    install(CODE "
      set(TOKENRING_BINDIR \"${CMAKE_INSTALL_BINDIR}\")
      cmake_path(ABSOLUTE_PATH TOKENRING_BINDIR BASE_DIRECTORY \"\${CMAKE_INSTALL_PREFIX}\" NORMALIZE)
      set(unit \"\${CMAKE_INSTALL_PREFIX}/lib/systemd/system/${unit}.service\")
      message(STATUS \"Installing: \$ENV{DESTDIR}\${unit}\")
      configure_file(\"${PROJECT_SOURCE_DIR}/deploy/systemd/${unit}.service.in\" \"\$ENV{DESTDIR}\${unit}\"
        @ONLY NO_SOURCE_PERMISSIONS)
      list(APPEND CMAKE_INSTALL_MANIFEST_FILES \"\${unit}\")")
  endforeach()
  install(FILES deploy/systemd/tokenring-backup.timer DESTINATION lib/systemd/system)
  install(FILES deploy/systemd/tokenring.sysusers DESTINATION lib/sysusers.d RENAME tokenring.conf)
  install(FILES deploy/systemd/tokenring.tmpfiles DESTINATION lib/tmpfiles.d RENAME tokenring.conf)
endif()
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/tokenring)
install(EXPORT tokenring NAMESPACE tokenring:: FILE tokenringTargets.cmake DESTINATION ${package_dir})
configure_package_config_file(tools/packaging/tokenringConfig.cmake.in packaging/tokenringConfig.cmake
  INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(packaging/tokenringConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/packaging/tokenringConfig.cmake ${PROJECT_BINARY_DIR}/packaging/tokenringConfigVersion.cmake
  DESTINATION ${package_dir})
# Relative to the .pc file, so that a tree that was installed with --prefix or moved still works.
file(RELATIVE_PATH pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
foreach(package ${packages})
  configure_file(tools/packaging/${package}.pc.in packaging/${package}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/packaging/${package}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
# What watches it: the rules and the dashboard, to be named where they are, and examples of who names them.
if(TOKENRING_COLLECTOR)
  install(FILES deploy/prometheus/tokenring.rules.yml DESTINATION ${CMAKE_INSTALL_DATADIR}/tokenring/prometheus)
  install(FILES deploy/grafana/tokenring.json DESTINATION ${CMAKE_INSTALL_DATADIR}/tokenring/grafana)
  install(FILES deploy/prometheus/prometheus.yml DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples/prometheus)
  install(DIRECTORY deploy/grafana/provisioning DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples/grafana)
endif()
add_subdirectory(man)
# Last: the loader learns of the libraries, and an uninstall takes all of it away.
install(SCRIPT tools/packaging/ldconfig.cmake)
if(PROJECT_IS_TOP_LEVEL)
  add_custom_target(uninstall COMMAND ${CMAKE_COMMAND} -D MANIFEST=${PROJECT_BINARY_DIR}/install_manifest.txt
    -P ${PROJECT_SOURCE_DIR}/tools/packaging/uninstall.cmake VERBATIM)
endif()
