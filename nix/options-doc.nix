# docs/options.md: one row an option, in the order of its name. By evaluation alone, so that it can be made and compared
# where nothing can be built.
{ lib, options }:
let
  of =
    prefix:
    lib.filter (option: option.visible && !option.internal) (
      lib.optionAttrSetToDocList (lib.getAttrFromPath prefix options)
    );
  text = value: value.text or (lib.generators.toPretty { multiline = false; } value);
  # One line, and no bar that would end a cell.
  cell =
    words:
    lib.replaceStrings [ "|" "\n" ] [ "\\|" " " ] (
      lib.removeSuffix "\n" (if lib.isAttrs words then words.text else words)
    );
  row =
    option:
    "| `${option.name}` | ${cell option.type} | ${
      if option ? default then "`${cell (text option.default)}`" else "none"
    } | ${cell option.description} |";
  table = prefix: ''
    ## `${lib.concatStringsSep "." prefix}`

    | option | type | default | what it is |
    |---|---|---|---|
    ${lib.concatMapStringsSep "\n" row (of prefix)}
  '';
in
''
  # Options of the NixOS modules

  Made from `modules/`. [nixos.md](nixos.md) says how to begin; every key of `settings` is explained in
  [configuration.md](configuration.md), and one that has no option here may stand there too.

  ${table [
    "services"
    "msp-agent"
  ]}
  ${table [
    "services"
    "msp-central"
  ]}''
