# What every scenario shares: a limit in time, the roles, and the words of clinic.py before its own script.
{
  self,
  config,
  lib,
  ...
}:
{
  options.scenario = lib.mkOption {
    type = lib.types.lines;
    description = "What happens, in Python: clinic.py stands before it.";
  };

  config = {
    # A hang ends here and not with the builder's patience.
    globalTimeout = 15 * 60;

    _module.args.roles = {
      central = ./central.nix;
      appliance = ./appliance.nix;
      windows = ./windows.nix;
    };

    defaults = {
      imports = [
        self.nixosModules.default
        self.nixosModules.msp-central
      ];
      _module.args.programs = self.packages.x86_64-linux;
      virtualisation.memorySize = lib.mkDefault 1024;
    };

    testScript = lib.optionalString (config.nodes ? central) (builtins.readFile ./clinic.py) + config.scenario;
  };
}
