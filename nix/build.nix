# The programs, and the checks that read or build their sources.
#
# One build makes all of them: with `-p` cargo would unify features differently and compile most crates again for each.
# A package is then one program out of it.
{
  lib,
  pkgs,
  craneLib,
}:
let
  manifest = lib.importTOML ../Cargo.toml;
  inherit (manifest.workspace.package) version;

  # Cargo's own files, and what the sources read or embed. A change of a page or of a module builds nothing again.
  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions (
      [
        ../Cargo.toml
        ../Cargo.lock
        ../.cargo
        ../clippy.toml
        ../deny.toml
        ../rustfmt.toml
      ]
      # Every member's folder: scripts, pages and migrations lie beside the sources that embed them.
      ++ map (member: ../. + "/${member}") manifest.workspace.members
      ++ [ ../schemas ]
    );
  };

  common = {
    inherit src version;
    pname = "msp";
    strictDeps = true;
    # winrm-rs declares a newer compiler than it needs: see CONTRIBUTING.md.
    cargoExtraArgs = "--locked --workspace --ignore-rust-version";
    meta.license = with lib.licenses; [
      asl20
      mit
    ];
  };
  cargoArtifacts = craneLib.buildDepsOnly (common // { doCheck = false; });
  debugArtifacts = craneLib.buildDepsOnly (
    common
    // {
      pname = "msp-debug";
      CARGO_PROFILE = "dev";
    }
  );

  all = craneLib.buildPackage (
    common
    // {
      inherit cargoArtifacts;
      cargoExtraArgs = "${common.cargoExtraArgs} --bins";
      # The suite is a check of its own.
      doCheck = false;
    }
  );

  # `helpers` are not for people to call, and lie beside the programs that are.
  program =
    name: helpers: description:
    pkgs.runCommand "${name}-${version}"
      {
        inherit version;
        pname = name;
        meta = common.meta // {
          inherit description;
          mainProgram = name;
          platforms = lib.platforms.linux;
        };
      }
      ''
        install -D --target-directory=$out/bin ${all}/bin/${name}
        ${lib.concatMapStrings (helper: ''
          install -D --target-directory=$out/libexec ${all}/bin/${helper}
        '') helpers}
      '';
in
{
  packages = rec {
    msp-agent = program "msp-agent" [
      "msp-agent-act"
      "msp-agent-switch"
    ] "Finds drift, heals what a rule allows, and proves it";
    msp-central = program "msp-central" [ ] "Central Command: what the agents report to";
    winsim = program "msp-winsim" [ ] "A simulated Windows server for WinRM clients";
    # It starts the programs that lie beside it.
    lab = all.overrideAttrs (old: {
      meta = old.meta // {
        description = "A clinic on loopback, made of the real programs";
        mainProgram = "msp-lab";
      };
    });
    default = msp-agent;
  };

  checks = {
    fmt = craneLib.cargoFmt { inherit (common) src pname version; };
    clippy = craneLib.cargoClippy (
      common
      // {
        cargoArtifacts = debugArtifacts;
        CARGO_PROFILE = "dev";
        cargoClippyExtraArgs = "--all-targets -- --deny warnings";
      }
    );
    # The advisory database is a download: it stays with whoever has a network.
    deny = craneLib.cargoDeny {
      inherit (common) src pname version;
      cargoDenyChecks = "bans licenses sources";
    };
    suite = craneLib.mkCargoDerivation (
      common
      // {
        # The suite reads docs/, modules/, nixos-tests/ and the rest of the checkout.
        src = lib.cleanSource ../.;
        pname = "msp-suite";
        cargoArtifacts = debugArtifacts;
        CARGO_PROFILE = "dev";
        doInstallCargoArtifacts = false;
        nativeBuildInputs = [
          pkgs.cargo-nextest
          pkgs.openssl
        ];
        buildPhaseCargoCommand = "cargo suite | tee suite.txt";
        installPhaseCommand = "install -D suite.txt $out/suite.txt";
      }
    );
  };
}
